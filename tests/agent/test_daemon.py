"""The daemon as a process: what it tells its service manager, what it is limited by, what it says in its log."""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import agent
from agent import cgroup, logs
from agent.unit import unit
from benchmarks import confine
from tests.agent.device import Device, entry
from tests.agent.models import release
from tests.agent.standin import Handler, StandIn

OLD = release(1)
PATIENCE_S = 20


@dataclass(slots=True)
class Manager:
    """A service manager's end of sd_notify."""

    path: Path
    inbox: socket.socket
    heard: list[str]

    def wait_for(self, message: str, times: int = 1) -> None:
        """Listen until a message came so many more times."""
        deadline = time.monotonic() + PATIENCE_S
        while times:
            assert time.monotonic() < deadline, f"{message} did not come after {self.heard}"
            self.heard.append(self.inbox.recv(4096).decode())
            times -= self.heard[-1].startswith(message)

    def is_silent_for(self, seconds: float) -> bool:
        """Whether nothing comes for a while."""
        self.inbox.settimeout(seconds)
        try:
            self.heard.append(self.inbox.recv(4096).decode())
        except TimeoutError:
            return True
        return False

    def environment(self, watchdog_s: float) -> dict[str, str]:
        return {**os.environ, "NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(tmp_path / "notify"))
        inbox.settimeout(PATIENCE_S)
        yield Manager(tmp_path / "notify", inbox, [])


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_daemon_says_that_it_is_ready_pings_while_it_rests_and_says_that_it_stops(
    device: Device, server: StandIn, manager: Manager
) -> None:
    with running(device.command("run"), manager.environment(0.3)) as process:
        manager.wait_for("READY=1")
        manager.wait_for("STATUS=resting for")
        manager.wait_for("WATCHDOG=1", times=3)
        process.send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert process.wait(PATIENCE_S) == 0


def test_daemon_pings_while_a_transfer_stalls(device: Device, server: StandIn, manager: Manager) -> None:
    def stall(handler: Handler, content: bytes) -> None:
        handler.send_range(content, most=100)
        time.sleep(1.5)

    server.entries = [entry(server, OLD, with_samples=False)]
    server.misbehave.extend([Handler.send_range, stall])
    with running(device.command("run"), manager.environment(0.3)):
        while len(server.requests("GET", "artifacts/")) < 2:
            time.sleep(0.02)
        manager.wait_for("WATCHDOG=1", times=5)


def test_daemon_pings_in_a_shadow_run_that_takes_all_its_children(device: Device, manager: Manager) -> None:
    script = f"""
import pathlib, time
import benchmarks.shadow
from agent import config, shadow
from agent.vigil import vigil
device = config.load(pathlib.Path({str(device.config_file)!r}))
benchmarks.shadow.compare_models = lambda *_models, **_limits: time.sleep(60)
vigil.start(0.1)
shadow.run(pathlib.Path("candidate"), None, None, device)
"""
    with running([sys.executable, "-c", script], manager.environment(0.3)):
        manager.wait_for("WATCHDOG=1", times=5)


def test_agent_that_is_stuck_is_silent(manager: Manager) -> None:
    script = "from agent.vigil import vigil\nvigil.start(0.5)\nwhile True: pass"
    with running([sys.executable, "-c", script], manager.environment(0.3)):
        manager.wait_for("WATCHDOG=1", times=2)
        while not manager.is_silent_for(0.5):
            assert len(manager.heard) < 20


def test_daemon_ended_before_it_began_says_why(device: Device) -> None:
    device.layout.identity.unlink()
    ended = device.run("run")
    assert (ended.returncode, "run `smallfleet agent enroll" in ended.stderr) == (4, True)


def test_daemon_keeps_nothing_in_memory_that_only_its_work_needs() -> None:
    """Half a mebibyte and more each; the figures are those of `python -m benchmarks.load.idle_agent`."""
    script = "import agent.daemon, json, sys; print(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    only_for_work = {
        "argparse",
        "benchmarks.runner",
        "cryptography",
        "ctypes",
        "email",
        "http.client",
        "importlib.metadata",
        "numpy",
        "psutil",
        "secrets",
        "securesystemslib",
        "shutil",
        "tarfile",
        "tempfile",
        "tuf",
        "urllib3",
    }
    assert only_for_work & set(json.loads(ended.stdout)) == set()


def test_version_is_that_of_the_installed_distribution() -> None:
    assert device_version() == agent.__version__


def device_version() -> str:
    from importlib.metadata import version

    return version("smallfleet")


def test_delegated_group_is_shared_out_between_the_daemon_and_its_children(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A tree of files stands for the kernel's: names and values as in Documentation/admin-guide/cgroup-v2.rst."""
    group = tmp_path / "smallfleet-agent.service"
    group.mkdir()
    (group / "cgroup.controllers").write_text("cpu memory pids\n")
    with caplog.at_level(logging.INFO):
        cgroup.share_out({cgroup.DELEGATED_VARIABLE: "1"}, memory_limit_mib=256, group=group)
    assert caplog.records[-1].__dict__["by"] == "cgroup"
    assert (group / confine.DAEMON_GROUP / "cgroup.procs").read_text() == str(os.getpid())
    assert (group / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (group / confine.CHILDREN_GROUP / "memory.max").read_text() == str(256 << 20)
    assert int((group / confine.CHILDREN_GROUP / "pids.max").read_text()) == cgroup.MAX_PROCESSES


@pytest.mark.parametrize(
    ("delegated", "controllers", "why"),
    [("0", "memory pids", "is not set"), ("1", "cpu pids", "lacks memory"), ("1", None, "No such file")],
)
def test_group_that_is_not_ours_to_share_leaves_the_limits_of_each_child(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, delegated: str, controllers: str | None, why: str
) -> None:
    if controllers is not None:
        (tmp_path / "cgroup.controllers").write_text(controllers)
    with caplog.at_level(logging.INFO):
        cgroup.share_out({cgroup.DELEGATED_VARIABLE: delegated}, memory_limit_mib=256, group=tmp_path)
    assert caplog.records[-1].__dict__["by"] == "rlimit"
    assert why in caplog.records[-1].__dict__["why"]
    assert not (tmp_path / confine.CHILDREN_GROUP).exists()


def test_own_group_is_read_where_there_is_only_cgroup_v2(tmp_path: Path) -> None:
    listing = tmp_path / "cgroup"
    listing.write_text("1:name=systemd:/x\n0::/system.slice/a.service\n")
    assert confine.own_group(tmp_path, listing) is None
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    assert confine.own_group(tmp_path, listing) == tmp_path / "system.slice/a.service"


def test_unit_names_this_device_and_gives_it_its_folder(device: Device) -> None:
    ended = device.run("systemd-unit", "--user", "gate")
    assert ended.returncode == 0
    rows = ended.stdout.splitlines()
    assert f"ExecStart={sys.executable} -P -m agent run --config {device.config_file}" in rows
    assert {"User=gate", f"ReadWritePaths={device.layout.root}", "Type=notify"} <= set(rows)
    assert "@" not in ended.stdout.replace("@system-service", "").replace("~@privileged", "")
    packaged = unit(config_file=Path("/etc/x y.toml"), state_dir=Path("/var/lib/small%fleet"), user="smallfleet")
    assert "StateDirectory=small%%fleet" in packaged
    assert '--config "/etc/x y.toml"' in packaged


def test_log_says_a_repeated_thing_three_times_and_then_once_an_hour() -> None:
    now = [0.0]
    repetitions = logs.Repetitions(lambda: now[0])

    def say(why: str, event: str = "cycle_failed") -> logging.LogRecord | None:
        record = logging.makeLogRecord({"msg": event, "levelno": logging.ERROR, "why": why})
        return record if repetitions.filter(record) else None

    said = [say(f"timed out after {attempt} s") for attempt in range(100)]
    assert [record is not None for record in said].count(True) == logs.SAID_IN_FULL
    assert say("refused") is not None, "another reason is another thing"
    now[0] = logs.AGAIN_AFTER_S
    again = say("timed out after 9 s")
    assert again is not None
    assert again.__dict__["left_out"] == 97
    for number in range(3 * logs.MOST_REMEMBERED):
        say(chr(ord("A") + number % 26) * (number + 1))
    assert len(repetitions._said) == logs.MOST_REMEMBERED


def test_log_is_one_json_object_a_line(device: Device) -> None:
    lines = device.run("once").stderr.splitlines()
    assert all({"at", "level", "event"} <= set(json.loads(line)) for line in lines)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian's package systemd)")
def test_unit_is_one_that_systemd_takes_and_finds_little_exposed(tmp_path: Path) -> None:
    """Exposure in tenths: 20 is what `systemd-analyze security` calls OK; a service without hardening has 96."""
    written = tmp_path / "smallfleet-agent.service"
    written.write_text(unit(config_file=tmp_path, state_dir=Path("/var/lib/smallfleet"), user="smallfleet"))
    for check in (("verify", "--man=no"), ("security", "--offline=true", "--threshold=20")):
        ended = subprocess.run(["systemd-analyze", *check, str(written)], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert written.name not in ended.stderr, ended.stderr
