"""Benchmarks on one machine take turns."""

import subprocess
import sys
from pathlib import Path

from benchmarks.turns import turn

HOLDER = """
import sys, time
from pathlib import Path
from benchmarks.turns import turn
with turn(9, path=Path(sys.argv[1])) as had:
    print(had, flush=True)
    time.sleep(60)
"""


def test_turn_is_had_again_after_it_was_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        with turn(0, path=tmp_path / "lock") as had:
            assert had


def test_other_process_has_the_turn_until_it_ends_even_by_a_kill(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "True\n"
        with turn(0.2, path=lock) as had:
            assert not had
        holder.kill()
    with turn(5, path=lock) as had:
        assert had


def test_planted_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with turn(0, path=tmp_path / "lock") as had:
        assert not had
    assert not (tmp_path / "elsewhere").exists()
