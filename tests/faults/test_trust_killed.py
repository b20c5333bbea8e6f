"""Power fails while newer metadata is checked and kept: SIGKILL, and a disk that refuses, at every point of that.

Whatever the moment, the device trusts what it trusted before or what is newer, all of it, and never again what is older.
"""

import signal
from pathlib import Path

import pytest

from agent import disk
from agent.trust import keeping
from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.standin import StandIn
from tests.faults.conftest import CountCases

OLD = release(1)


def list_version(device: Device) -> int:
    """The version of the trusted list, in a document that is whole."""
    kept = keeping.read(device.layout, MODEL)
    assert kept is not None, "the trust of before, or the newer one"
    assert kept.says is not None
    assert kept.says.versions == kept.versions
    return kept.says.versions.targets


def settled(device: Device, server: StandIn) -> None:
    """A device with OLD in service, and a server that has a newer list and nothing else for it."""
    device.preinstall(OLD, version="1.0.0")
    server.entries = [entry(server, OLD)]
    device.cycle()
    server.line(MODEL).sign_targets()


def points_of_a_check(device: Device, tmp_path: Path) -> list[int]:
    """The points of a cycle with a check at which something may be lost: all around the document, and the ends of the child's folder."""
    trace = tmp_path / "trace"
    disk.inject(f"trace@{trace}")
    device.cycle()
    disk.inject("")
    names = trace.read_text().splitlines()
    document = [number for number, name in enumerate(names, 1) if f"{MODEL}.json" in name]
    folder = [number for number, name in enumerate(names, 1) if f"{MODEL}.work" in name]
    assert [names[number - 1].split()[0] for number in document] == ["write", "fsync", "rename"]
    return sorted({folder[0], *document, document[-1] + 1, folder[-1], folder[-1] + 1})


@pytest.mark.fault("SIGKILL around every write, fsync, rename, unlink")
def test_killed_anywhere_in_a_check_trusts_old_or_new(
    device: Device, server: StandIn, tmp_path: Path, count_cases: CountCases
) -> None:
    settled(device, server)
    points = points_of_a_check(device, tmp_path)
    seen = set()
    for point in points:
        before = list_version(device)
        server.line(MODEL).sign_targets()
        assert device.run("once", fault=f"kill@{point}").returncode == -signal.SIGKILL
        found = list_version(device)
        assert found in (before, before + 1)
        seen.add(found - before)
        device.cycle()
        assert list_version(device) == before + 1
        assert not device.layout.checking(MODEL).exists()
    assert seen == {0, 1}, "some kill came before the new list was kept, and some after it"
    count_cases(len(points))


@pytest.mark.fault("disk full at each write")
def test_disk_that_refuses_anywhere_in_a_check_leaves_the_old_trust(
    device: Device, server: StandIn, tmp_path: Path, count_cases: CountCases
) -> None:
    settled(device, server)
    points = points_of_a_check(device, tmp_path)
    for point in points:
        before = list_version(device)
        server.line(MODEL).sign_targets()
        disk.inject(f"enospc@{point}+")
        device.cycle()
        disk.inject("")
        assert list_version(device) in (before, before + 1)
        device.cycle()
        assert list_version(device) == before + 1
    count_cases(len(points))
