"""`smallfleet simulate`: what it refuses before anything is started, and the summary of a run as people read it."""

import argparse
import os
import re
import shlex
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from client.cli import main
from client.processes import smallfleet
from client.simulate.command import add_arguments
from client.simulate.traffic import percentile


@pytest.fixture(autouse=True)
def _no_server_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that the shell names must not get ten thousand devices for that."""
    monkeypatch.setenv("SMALLFLEET_SERVER", "http://127.0.0.1:1")
    monkeypatch.setenv("SMALLFLEET_TOKEN", "sft_from_the_environment")


@pytest.mark.parametrize(
    "options",
    [
        ("--devices", "0"),
        ("--devices", "1.5"),
        ("--devices", "many"),
        ("--loss", "1"),
        ("--offline", "-0.1"),
        ("--failures", "nan"),
        ("--duration", "0"),
        ("--speed", "0"),
        ("--connections", "0"),
    ],
)
def test_number_out_of_bounds_is_wrong_usage(options: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *options])
    assert ended.value.code == 2
    assert f"argument {options[0]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--links", "wifi=1,tin-can=1"), "no profile 'tin-can'"),
        (("--links", "wifi=x"), "--links: expected NAME=SHARE"),
        (("--from", "1.0.0/fp32=0.5,2.0.0/fp32=0.5"), "has no 2.0.0/fp32, only 1.0.0/fp32, 1.0.0/int8"),
        (("--to", "1.1.0"), "has no 1.1.0"),
        (("--model", "other"), "--model needs --server"),
        (("--failures", "0.6", "--unhealthy", "0.6"), "add up to more than 1"),
        (("--server", "ftp://example.org"), "--server must be an http or https address"),
    ],
)
def test_wrong_value_is_one_line_and_starts_nothing(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *options]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert "starting a server" not in printed.err
    assert printed.out == ""


def test_missing_file_of_profiles_is_a_local_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--profiles", "/nowhere/links.toml"]) == 5
    assert "--profiles" in capsys.readouterr().err


def test_what_the_page_tells_to_type_can_be_typed() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "simulate.md").read_text()
    typed = re.findall(r"^smallfleet simulate ((?:.*\\\n)*.*)", page, re.MULTILINE)
    assert len(typed) == 3
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for options in typed:
        parser.parse_args(shlex.split(options.replace("\\\n", " ")))


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([7.0], 0.99, 7.0), ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0), ([1.0, 2.0, 3.0, 4.0], 0.51, 3.0)],
)
def test_percentile_is_the_nearest_rank(values: list[float], share: float, expected: float | None) -> None:
    assert percentile(values, share) == expected


def test_ended_simulation_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    """The signal comes while its own server is being made."""
    command = smallfleet("simulate", "--devices", "3")
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(tmp_path)}
        )
    try:
        deadline = time.monotonic() + 90
        while len(children := psutil.Process(running.pid).children(recursive=True)) < 1:
            assert running.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        running.terminate()
        assert running.wait(timeout=30) == 130
        assert "Traceback" not in (tmp_path / "log").read_text()
        _gone, alive = psutil.wait_procs(children, timeout=5)
        assert not alive
        assert not list(tmp_path.glob("smallfleet-simulate-*"))
    finally:
        running.kill()
        running.wait()
