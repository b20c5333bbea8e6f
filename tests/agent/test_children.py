"""Children: limited, clean, and gone when they should be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent import children, disk, slots
from agent.config import Children
from agent.errors import ApplyFailed
from agent.wire import Blob, Offer, Target, Tolerances, Way
from delta.encoder import encode
from tests.agent.device import MODEL, Device
from tests.agent.models import release
from tests.agent.standin import sha256

OLD = release(1)
PATIENCE_S = 20


def is_gone(pid: int) -> bool:
    """Whether a process ends soon; a zombie has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_child_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    command = ["/bin/sh", "-c", f"sleep 300 & echo $! > {pid_file}; sleep 300"]
    assert children.run(command, timeout_s=0.5).returncode is None
    assert is_gone(int(pid_file.read_text()))


def test_child_that_leaves_something_running_leaves_nothing(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    assert children.run(["/bin/sh", "-c", f"sleep 300 & echo $! > {pid_file}"], timeout_s=PATIENCE_S).returncode == 0
    assert is_gone(int(pid_file.read_text()))


def test_child_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLFLEET_ENROLLMENT_TOKEN", "sfe_secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy")
    seen = children.run(["/usr/bin/env"], timeout_s=PATIENCE_S, extra={"SMALLFLEET_MODEL": "digits"}).stdout.decode()
    assert "SMALLFLEET_MODEL=digits" in seen
    assert "secret" not in seen
    assert "password" not in seen


def test_child_that_says_too_much_is_not_kept_in_memory() -> None:
    script = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; echo end >&2"
    ended = children.run(["/bin/sh", "-c", script], timeout_s=PATIENCE_S)
    assert (ended.returncode, len(ended.stdout)) == (0, children.MAX_OUTPUT_BYTES)
    assert (len(ended.stderr_end), ended.stderr_end[-4:]) == (2000, "end\n")


@pytest.mark.parametrize("redirection", ["> /dev/stderr", ">> /dev/stderr", "| tee /dev/stderr"])
def test_child_may_open_its_outputs_by_name(redirection: str) -> None:
    script = f"set -e; echo first {redirection}; echo last >&2"
    ended = children.run(["/bin/sh", "-c", script], timeout_s=PATIENCE_S)
    assert (ended.returncode, ended.stderr_end) == (0, "first\nlast\n")


def test_child_whose_outputs_outlive_it_is_waited_for_no_longer(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"echo said; setsid sh -c 'echo $$ > {pid_file}; exec sleep 300' & while [ ! -s {pid_file} ]; do :; done"
    ended = children.run(["/bin/sh", "-c", script], timeout_s=PATIENCE_S)
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert (ended.returncode, ended.stdout) == (0, b"said\n")


def test_confined_child_dies_with_the_agent() -> None:
    child = (
        "import os, sys, time; from benchmarks.confine import confine;"
        "confine(parent_pid=os.getppid(), nice=1, cpu_s=9, file_bytes=1); print('ready', flush=True); time.sleep(300)"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(300)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        assert is_gone(pid)


def limits_of_a_confined_child(tmp_path: Path) -> str:
    script = (
        "import os; from pathlib import Path; from benchmarks.confine import confine;"
        "confine(parent_pid=os.getppid(), nice=3, cpu_s=9, file_bytes=12345, address_space_bytes=256 << 20, open_files=64);"
        "print(Path('/proc/self/limits').read_text())"
    )
    return children.run([sys.executable, "-c", script], timeout_s=PATIENCE_S).stdout.decode()


def test_confined_child_has_its_limits(tmp_path: Path) -> None:
    rows = {row[:25].strip(): row[25:].split()[:2] for row in limits_of_a_confined_child(tmp_path).splitlines()}
    assert rows["Max address space"] == [str(256 << 20)] * 2
    assert rows["Max cpu time"] == ["9", "9"]
    assert rows["Max file size"] == ["12345"] * 2
    assert rows["Max core file size"] == ["0", "0"]
    assert rows["Max open files"] == ["64", "64"]


def build_packed(device: Device, tmp_path: Path, *, announced_bytes: int, limits: Children) -> None:
    """Build a slot from a good packed patch, under the given limits."""
    plain, patch = tmp_path / "plain", tmp_path / "patch"
    plain.write_bytes(OLD.model)
    encode(None, plain, patch)
    device.layout.prepare((MODEL,))
    offer = Offer(Way.PACKED, sha256(patch.read_bytes()), patch.stat().st_size, format=1)
    disk.replace_file(device.layout.downloaded(offer.sha256), patch.read_bytes())
    target = Target("1", "fp32", sha256(OLD.model), announced_bytes, Blob("c" * 64, 1), None, Tolerances())
    slots.build(device.layout, MODEL, target, offer, base=None, contract=b"{}", limits=limits)


def test_decoder_within_its_limits_gives_the_target(device: Device, tmp_path: Path) -> None:
    build_packed(device, tmp_path, announced_bytes=len(OLD.model), limits=Children())
    assert device.layout.line(MODEL).model(sha256(OLD.model)).read_bytes() == OLD.model


@pytest.mark.parametrize(
    ("announced_bytes", "limits", "reason"),
    [
        (len(OLD.model) - 1, Children(), "limit-exceeded"),
        (len(OLD.model), Children(memory_limit_mib=64), "decoder-crashed"),
        (len(OLD.model), Children(timeout_s=0.01), "decoder-timeout"),
    ],
)
def test_decoder_that_needs_more_than_allowed_is_ended_and_leaves_nothing(
    device: Device, tmp_path: Path, announced_bytes: int, limits: Children, reason: str
) -> None:
    with pytest.raises(ApplyFailed) as caught:
        build_packed(device, tmp_path, announced_bytes=announced_bytes, limits=limits)
    assert caught.value.reason == reason
    assert slots.held_models(device.layout, (MODEL,)) == frozenset()
    assert not device.layout.line(MODEL).building(sha256(OLD.model)).exists()
