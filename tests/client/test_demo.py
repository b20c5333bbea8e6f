"""The demo's own promises: a clean start, a free port, and no process left whatever ends it."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from client.cli import main
from client.demo.command import _clean_home, _port
from client.demo.models import MODELS, STEPS
from client.errors import ConfigError
from client.processes import free_port, is_free, smallfleet
from client.stack import Stack


def test_every_committed_model_is_published_with_what_was_measured_of_it() -> None:
    for model in MODELS:
        arguments = model.publish_arguments()
        assert Path(arguments[0]).is_file()
        evaluation = arguments[arguments.index("--evaluation") + 1]
        assert evaluation.startswith(f"accuracy={model.measured['value']},n=600,dataset=")
    assert set(STEPS) < set(MODELS)


def test_second_run_starts_clean_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").write_text("not ours")
    with _clean_home(tmp_path) as folder:
        folder.mkdir()
        (folder / "smallfleet.sqlite3").touch()
    with _clean_home(tmp_path) as folder:
        assert not folder.exists()
    assert "first run" in capsys.readouterr().err.splitlines()[0]
    assert (tmp_path / "precious").exists()


def test_second_demo_in_the_same_home_is_refused(tmp_path: Path) -> None:
    with _clean_home(tmp_path), pytest.raises(ConfigError, match="another demo runs"), _clean_home(tmp_path):
        pass


def test_taken_port_is_replaced_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("client.demo.command.PREFERRED_PORT", port)
        assert not is_free(port)
        assert _port(None) != port
        assert f"port {port} is taken" in capsys.readouterr().err
        with pytest.raises(ConfigError, match=f"--port {port}"):
            _port(port)
    assert _port(None) == port


def test_settings_of_the_callers_shell_do_not_reach_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLFLEET_DATABASE_URL", "postgresql://production/fleet")
    monkeypatch.setenv("SMALLFLEET_TOKEN", "sft_production")
    stack = Stack(tmp_path, port=1, environment={"SMALLFLEET_CURRENCY": "CHF"})
    assert "SMALLFLEET_DATABASE_URL" not in stack.children.environment
    assert "SMALLFLEET_TOKEN" not in stack.children.environment
    assert stack.children.environment["SMALLFLEET_CURRENCY"] == "CHF"


def test_help_does_not_start_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    """The signal comes once the server answers and the first model is published, while worker and CLI run."""
    command = smallfleet("demo", "--exit", "--home", str(tmp_path), "--port", str(free_port()))
    with (tmp_path / "log").open("wb") as log:
        demo = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _wait_for_line(tmp_path / "log", demo, "published digits 1.0.0 fp32")
        children = psutil.Process(demo.pid).children(recursive=True)
        assert len(children) >= 3
        os.kill(demo.pid, number)
        assert demo.wait(timeout=30) == 130
        assert "Traceback" not in (tmp_path / "log").read_text()
        gone, alive = psutil.wait_procs(children, timeout=5)
        assert not alive, gone
    finally:
        demo.kill()
        demo.wait()


def _wait_for_line(log: Path, demo: subprocess.Popen[bytes], line: str) -> None:
    deadline = time.monotonic() + 90
    while line not in log.read_text():
        assert demo.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
