"""Power fails while the device rotates its credential: SIGKILL of the real agent at every write, before and after the real server heard of it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent import disk
from agent.errors import SayFirst, Unauthenticated
from agent.http import Client
from client.processes import free_port, smallfleet
from client.stack import Stack, StackDevice
from tests.faults.conftest import CountCases

# Between the first write of the new secret and the end of the last: two files, each written, synced, renamed, its folder synced.
POINTS = 8
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), port=free_port(), worker=False) as running:
        yield running


@dataclass(frozen=True, slots=True)
class RealDevice:
    """A device that enrolled with the real server, for a model line without a version."""

    stack: Stack
    enrolled: StackDevice

    @property
    def identity(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.enrolled.state_dir / "identity.json").read_bytes())
        return document

    def cycle(self, *, fault: str = "") -> subprocess.CompletedProcess[str]:
        command = smallfleet("agent", "once", "--config", str(self.enrolled.config))
        environment = {**os.environ, disk.FAULT_VARIABLE: fault}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    def is_accepted(self, secret: str) -> bool:
        client = Client(self.stack.url, secret)
        try:
            client.call("GET", "poll")
        except Unauthenticated:
            return False
        except SayFirst:
            return True
        finally:
            client.close()
        return True


def enrolled(stack: Stack, name: str) -> RealDevice:
    """A device that has said what it has, and is asked to rotate."""
    device = RealDevice(stack, stack.enroll(name, models=("digits",), device_class="pi5"))
    assert device.cycle().returncode == 0
    with stack.rest() as rest:
        rest.post(f"devices/{device.identity['device_id']}/rotate")
    return device


def rotation_points(device: RealDevice, trace: Path) -> range:
    """The numbers of the points at which the identity is written, of one undisturbed rotation."""
    ended = device.cycle(fault=f"trace@{trace}")
    assert ended.returncode == 0, ended.stderr
    names = trace.read_text().splitlines()
    written = [number for number, name in enumerate(names, start=1) if "identity.json" in name]
    # The last rename is followed by the sync of its folder.
    return range(written[0], written[-1] + 2)


@pytest.mark.fault("power fails while the credential is rotated")
def test_kill_at_each_write_leaves_a_credential_that_the_server_takes(
    stack: Stack, tmp_path: Path, count_cases: CountCases
) -> None:
    points = rotation_points(enrolled(stack, "undisturbed"), tmp_path / "trace")
    assert len(points) == POINTS
    for point in points:
        device = enrolled(stack, f"killed-{point}")
        old = device.identity["credential"]
        assert device.cycle(fault=f"kill@{point}").returncode == -signal.SIGKILL
        assert device.is_accepted(old), "the old one is good until the new one is used"
        for _cycle in range(2):
            ended = device.cycle()
            assert ended.returncode == 0, ended.stderr
        kept = device.identity
        assert kept["credential"] != old
        assert kept["next_credential"] is None
        assert device.is_accepted(kept["credential"])
        assert not device.is_accepted(old)
    count_cases(len(points))
