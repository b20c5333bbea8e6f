"""Parts done by several processes: in order, with their errors, and ended with the command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from compression.errors import CompressionError, ModelUnusable
from compression.ladder.workers import Advance, in_order

PARTS = (3, 1, 2)


def square(part: int, advance: Advance) -> int:
    advance(0.5)
    return part * part


def refuse(part: int, advance: Advance) -> int:
    if part == 1:
        raise ModelUnusable("part 1 is empty")
    return square(part, advance)


def end(part: int, advance: Advance) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return square(part, advance)


def stay(part: int, advance: Advance) -> int:
    Path(os.environ["STARTED"], str(os.getpid())).touch()
    time.sleep(600)
    return square(part, advance)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_their_parts(workers: int) -> None:
    heard: list[float] = []
    assert list(in_order(square, PARTS, workers, heard.append)) == [9, 1, 4]
    assert heard == sorted(heard)
    assert heard[-1] == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_part_is_raised_as_it_is(workers: int) -> None:
    with pytest.raises(ModelUnusable, match="part 1 is empty"):
        list(in_order(refuse, PARTS, workers, lambda _share: None))


def test_worker_that_was_killed_is_told_in_words() -> None:
    with pytest.raises(CompressionError, match=r"ended by itself \(code -9\)"):
        list(in_order(end, PARTS, 2, lambda _share: None))


def test_workers_end_when_the_command_is_killed(tmp_path: Path) -> None:
    code = "from compression.ladder.workers import in_order; from tests.compression.ladder.test_workers import stay; "
    code += "list(in_order(stay, (1, 2), 2, print))"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "STARTED": str(tmp_path)}) as command:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        workers = [psutil.Process(int(file.name)) for file in tmp_path.iterdir()]
        assert len(workers) == 2
        command.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
