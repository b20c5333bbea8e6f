"""The table of attacks in docs/attacks.md is what the tests say."""

import subprocess
import sys

from tests.attacks.scene import REPOSITORY


def test_committed_table_is_current() -> None:
    command = [sys.executable, "-m", "tests.attacks.table", "--check"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
