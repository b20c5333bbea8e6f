"""Tables and progress: what stands on a terminal and what in a pipe."""

import os
import subprocess
import sys
import termios

import pytest

from client.output import format_table


def test_table_aligns_numbers_right_and_shows_absence_as_a_dash() -> None:
    table = format_table(("device", "bytes", "share"), [("gate-7", 1234567, 0.25), ("pi", None, None)])
    assert table.splitlines() == [
        "device      bytes  share",
        "------  ---------  -----",
        "gate-7  1,234,567   0.25",
        "pi              -      -",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(8388608.0, "8,388,608"), (15.0, "15"), (0.0, "0"), (0.98333333, "0.983333")]
)
def test_whole_number_is_shown_to_its_last_digit(value: float, text: str) -> None:
    assert format_table(("limit",), [(value,)]).split()[-1] == text


def test_empty_table_has_its_headers() -> None:
    assert format_table(("id", "name"), []) == "id  name\n--  ----"


PROGRESS = """
from client.progress import terminal_progress
with terminal_progress("upload m.onnx", 10) as advance:
    advance(10)
"""


def test_progress_is_silent_in_a_pipe() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRESS], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_progress_is_a_bar_on_a_terminal() -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    os.set_blocking(ours, False)
    done = subprocess.run([sys.executable, "-c", PROGRESS], stdout=subprocess.PIPE, stderr=theirs, check=True)
    # Before the terminal's other side closes: that may throw away what was not read.
    shown = os.read(ours, 10_000)
    os.close(theirs)
    os.close(ours)
    assert b"upload m.onnx" in shown
    assert done.stdout == b""
