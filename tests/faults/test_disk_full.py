"""A disk without room: nothing is paid for that cannot be installed, and nothing is paid for twice."""

from pathlib import Path
from typing import Any

import pytest

from agent import disk
from agent.state import from_json
from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.standin import StandIn, sha256
from tests.agent.test_update import patch_way

pytestmark = pytest.mark.fault("disk full at each write")

OLD, NEW, NEWER = release(1), release(1, step=1e-4), release(1, step=1e-3)


def ask_for_new(device: Device, server: StandIn, folder: Path, way: str) -> dict[str, Any]:
    """A device with OLD that is asked to go to NEW; what it is offered first."""
    device.preinstall(OLD)
    patches = (patch_way(server, OLD.model, NEW.model, folder),) if way == "delta" else ()
    wanted = entry(server, NEW, version="1.1.0", patches=patches)
    server.entries = [wanted]
    offered: dict[str, Any] = wanted["ways"][0]
    return offered


@pytest.mark.parametrize("way", ["delta", "raw"])
def test_disk_without_room_is_told_with_its_bytes_before_one_is_fetched(
    device: Device, server: StandIn, tmp_path: Path, way: str
) -> None:
    offered = ask_for_new(device, server, tmp_path, way)
    own = len(NEW.model) if way == "delta" else 0
    needed = (1 << 18) + len(NEW.contract) + len(NEW.samples) + offered["size_bytes"] + own
    disk.inject(f"room@{needed - 1}")
    assert device.cycle().exit_code == 7
    assert server.requests("GET", "artifacts/") == []
    [failed] = server.details("failed")
    assert (failed["stage"], failed["reason"], failed["permanent"]) == ("download", "disk-full", False)
    assert f"{needed} bytes needed, {needed - 1} available" in failed["detail"]
    assert device.served() == OLD.model
    disk.inject(f"room@{needed}")
    assert device.cycle().exit_code == 0
    assert device.served() == NEW.model


def test_room_is_that_of_the_file_system(tmp_path: Path) -> None:
    free_bytes = disk.free_bytes(tmp_path)
    assert free_bytes is not None
    assert 0 < free_bytes < 1 << 60


@pytest.mark.parametrize(
    ("way", "at"),
    [
        ("delta", "mkdir {target}.new"),
        ("delta", "fsync model.onnx"),
        ("delta", "write manifest.json"),
        ("raw", "mkdir {target}.new"),
        ("raw", "write contract.json"),
        ("raw", "fsync-directory {target}.new"),
    ],
)
def test_apply_without_room_is_repeated_without_a_byte(
    device: Device, server: StandIn, tmp_path: Path, way: str, at: str
) -> None:
    ask_for_new(device, server, tmp_path, way)
    disk.inject("enospc@" + at.format(target=sha256(NEW.model)))
    assert device.cycle().exit_code == 7
    assert device.served() == OLD.model
    [failed] = server.details("failed")
    assert (failed["reason"], failed["permanent"]) == ("disk-full", False)
    disk.inject("")
    server.seen.clear()
    assert device.cycle().exit_code == 0
    assert device.served() == NEW.model
    assert server.requests("GET", "artifacts/") == [], "what was fetched was paid for once"
    assert list(device.layout.downloads.iterdir()) == []


def test_part_of_a_transfer_that_filled_the_disk_is_continued(device: Device, server: StandIn, tmp_path: Path) -> None:
    offered = ask_for_new(device, server, tmp_path, "raw")
    server.misbehave.append(lambda handler, content: handler.send_range(content))  # the sample set
    server.misbehave.append(lambda handler, content: handler.send_range(content, most=4000))
    disk.inject(f"enospc@fsync {offered['sha256']}.part")
    assert device.cycle().exit_code == 7
    disk.inject("")
    server.seen.clear()
    assert device.cycle().exit_code == 0
    assert [seen.headers.get("range") for seen in server.requests("GET", "artifacts/")] == ["bytes=4000-"]


@pytest.mark.parametrize("instead", ["another-target", "none"])
def test_download_that_nobody_wants_any_more_gives_its_room_back(
    device: Device, server: StandIn, tmp_path: Path, instead: str
) -> None:
    offered = ask_for_new(device, server, tmp_path, "delta")
    disk.inject(f"enospc@mkdir {sha256(NEW.model)}.new")
    device.cycle()
    disk.inject("")
    assert device.layout.downloaded(offered["sha256"]).is_file()
    server.entries = [{**server.entries[0], "target": None}]
    if instead == "another-target":
        server.entries = [entry(server, NEWER, version="1.2.0")]
    assert device.cycle().exit_code == 0
    assert list(device.layout.downloads.iterdir()) == []


def test_state_of_an_earlier_version_keeps_nothing(device: Device, server: StandIn, tmp_path: Path) -> None:
    ask_for_new(device, server, tmp_path, "delta")
    disk.inject(f"enospc@mkdir {sha256(NEW.model)}.new")
    device.cycle()
    content = device.layout.state.read_text()
    before, _, after = content.partition(',"keeps":[')
    [failure] = from_json((before + after.partition("]")[2]).encode()).lines[MODEL].failures
    assert (failure.reason, failure.keeps) == ("disk-full", ())
