"""The children we start all end, and say why when they end by themselves."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from client.processes import ChildFailedError, Children, free_port

SLEEP = "import time; time.sleep(60)"
# A child that ignores SIGTERM and has a child of its own.
STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); print(child.pid, flush=True); time.sleep(60)"
)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_leaving_the_context_ends_children_and_their_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.processes.GRACE_S", 0.3)
    with Children(tmp_path, {}) as children:
        child = children.start("stubborn", sys.executable, "-c", STUBBORN)
        children.wait_until("stubborn", lambda: children.log("stubborn").read_text().strip().isdigit())
        grandchild = int(children.log("stubborn").read_text())
    assert child.returncode is not None
    assert eventually(lambda: gone(grandchild))


def test_child_that_ends_early_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Children(tmp_path, {}) as children:
        children.start("broken", sys.executable, "-c", "import sys; sys.exit('port in use')")
        with pytest.raises(ChildFailedError, match="port in use"):
            children.wait_until("broken", lambda: False)


def test_child_that_is_never_ready_is_reported(tmp_path: Path) -> None:
    with Children(tmp_path, {}) as children:
        children.start("slow", sys.executable, "-c", SLEEP)
        with pytest.raises(ChildFailedError, match="not ready"):
            children.wait_until("slow", lambda: False, timeout_s=0.2)


def test_command_that_fails_tells_its_error(tmp_path: Path) -> None:
    with Children(tmp_path, {}) as children, pytest.raises(ChildFailedError, match="no such thing"):
        children.run(sys.executable, "-c", "import sys; sys.exit('no such thing')")


def test_environment_reaches_the_child(tmp_path: Path) -> None:
    with Children(tmp_path, {"COLOUR": "red"}) as children:
        assert children.run(sys.executable, "-c", "import os; print(os.environ['COLOUR'])") == "red\n"


def test_callers_own_settings_do_not_reach_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLFLEET_DATABASE_URL", "postgresql://production")
    with Children(tmp_path, {}) as children:
        assert (
            children.run(sys.executable, "-c", "import os; print(os.environ.get('SMALLFLEET_DATABASE_URL'))")
            == "None\n"
        )


def test_free_port_is_a_port() -> None:
    assert 1024 < free_port() < 65536
