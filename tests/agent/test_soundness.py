"""Files that rot: noticed once per boot and day, left for the previous model, fetched again."""

import json
from pathlib import Path

import pytest

from agent import disk, slots
from agent.clock import Instant
from agent.soundness import EVERY_S, is_due
from agent.state import LineState
from agent.wire import Way
from tests.agent.device import MODEL, Device, entry
from tests.agent.models import Release, release
from tests.agent.standin import StandIn, sha256

OLD, NEW = release(1), release(1, step=1e-4)
A_DAY_S = EVERY_S + 1


def rot(device: Device, model: bytes) -> Path:
    """Flip one bit of a model's file, as it lies on the disk."""
    path = device.layout.line(MODEL).model(sha256(model))
    content = bytearray(model)
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def next_day(device: Device) -> None:
    device.clock.ahead_s += A_DAY_S


NOW = Instant("boot", 100_000.0)


@pytest.mark.parametrize(
    ("line", "due"),
    [
        (LineState(), False),
        (LineState(current="a" * 64), True),
        (LineState(current="a" * 64, verified=Instant("boot", 100_000 - EVERY_S + 1)), False),
        (LineState(current="a" * 64, verified=Instant("boot", 100_000 - EVERY_S)), True),
        (LineState(current="a" * 64, verified=Instant("earlier boot", 99_999)), True),
    ],
)
def test_files_are_looked_at_once_per_boot_and_day(line: LineState, due: bool) -> None:  # noqa: FBT001 - a row of the table
    assert is_due(line, NOW) == due


def test_current_model_that_rots_is_left_for_the_previous_one_and_fetched_again(
    device: Device, server: StandIn, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    device.configure(f'[hooks]\npost_activate = ["/bin/sh", "-c", "echo $SMALLFLEET_SHA256 >> {told}"]\n')
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    rot(device, NEW.model)
    assert device.cycle().exit_code == 0
    assert server.details("rolled_back") == [], "not at each poll"
    next_day(device)
    assert device.cycle().exit_code == 7
    assert device.served() == OLD.model
    assert server.details("rolled_back") == [
        {
            "to": sha256(OLD.model),
            "reason": "current-damaged",
            "detail": "the files of the model in service are not what was installed",
        }
    ]
    assert server.details("started")[-1] == {"from": sha256(NEW.model), "way": Way.PREVIOUS}
    device.cycle()
    assert device.served() == NEW.model
    assert told.read_text().splitlines() == [sha256(model) for model in (NEW.model, OLD.model, NEW.model)]


def test_only_model_that_rots_stays_until_its_bytes_are_here_again(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, OLD)]
    device.cycle()
    rotten = rot(device, OLD.model).read_bytes()
    next_day(device)
    server.events.clear()
    server.problems["artifacts"] = (503, "busy")
    device.cycle()
    assert device.served() == rotten, "some model is more than none"
    [failed] = server.details("failed")
    assert (failed["stage"], failed["reason"], failed["permanent"]) == ("verify", "current-damaged", False)
    assert server.said is not None
    assert server.said["installations"][0]["current"] is None, "it is no base, and not what the server wants"
    server.problems.clear()
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model
    assert server.kinds().count("activated") == 1
    assert server.said["installations"][0] == {"model": MODEL, "current": sha256(OLD.model), "previous": None}


def test_model_that_is_mended_is_never_away(device: Device, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its slot is served while it is mended: a reader finds the rotten file or the whole one, at every point of the disk."""
    server.entries = [entry(server, OLD)]
    device.cycle()
    rot(device, OLD.model)
    next_day(device)
    current = device.layout.line(MODEL).current
    server.problems["artifacts"] = (503, "busy")
    device.cycle()
    server.problems.clear()
    seen = []

    def look(name: str) -> None:
        seen.append(name)
        assert len((current / "model.onnx").read_bytes()) == len(OLD.model)
        assert (current / "contract.json").read_bytes() == OLD.contract
        assert sha256(OLD.model) in (current / "manifest.json").read_text()

    monkeypatch.setattr(disk, "point", look)
    device.cycle()
    assert "rename model.onnx" in seen
    assert device.served() == OLD.model


def test_previous_model_that_rots_is_forgotten(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    rot(device, OLD.model)
    next_day(device)
    assert device.cycle().exit_code == 0
    assert (device.served(), device.state()["previous"]) == (NEW.model, None)
    assert [path.name for path in device.layout.line(MODEL).slots.iterdir()] == [sha256(NEW.model)]


def test_file_that_cannot_be_read_is_damaged(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    contract = device.layout.line(MODEL).slot(sha256(NEW.model)) / "contract.json"
    contract.unlink()
    next_day(device)
    device.cycle()
    assert device.served() == OLD.model


@pytest.mark.parametrize("name", ["model.onnx", "contract.json", "manifest.json"])
def test_block_that_cannot_be_read_is_written_anew(device: Device, server: StandIn, name: str) -> None:
    device.preinstall(OLD)
    server.entries = [entry(server, OLD)]
    device.cycle()
    unreadable = device.layout.line(MODEL).slot(sha256(OLD.model)) / name
    unreadable.unlink()
    unreadable.symlink_to("/proc/self/mem")  # EIO, as from a worn flash
    next_day(device)
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model
    assert slots.is_complete(device.layout.line(MODEL), sha256(OLD.model))


def test_sample_set_that_rots_is_fetched_again(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    path = device.layout.sample_set(sha256(OLD.samples))
    path.write_bytes(b"rotten")
    nearly = release(1, step=1e-7)
    server.entries = [entry(server, Release(nearly.model, nearly.contract, OLD.samples), version="1.1.0")]
    assert device.cycle().exit_code == 0
    assert (device.served(), path.read_bytes()) == (nearly.model, OLD.samples)


def test_disk_that_is_full_does_not_keep_the_device_from_the_server(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    server.entries = [entry(server, OLD)]
    device.cycle()
    next_day(device)
    server.seen.clear()
    disk.inject("enospc@1+")
    assert device.cycle().exit_code == 0
    assert [seen.method for seen in server.seen] == ["GET"]


@pytest.mark.parametrize("name", ["model.onnx", "contract.json", "manifest.json"])
def test_slot_that_rots_while_it_waits_for_its_switch_is_not_served(device: Device, server: StandIn, name: str) -> None:
    device.configure('[hooks]\npre_activate = ["/bin/sh", "-c", "exit 75"]\n')
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    rotten = device.layout.line(MODEL).slot(sha256(NEW.model)) / "contract.json"
    content = bytearray(rotten.read_bytes())
    content[len(content) // 2] ^= 1
    rotten.write_bytes(content)
    device.configure()
    assert device.cycle().exit_code == 7
    assert device.served() == OLD.model
    [failed] = server.details("failed")
    assert (failed["stage"], failed["reason"], failed["permanent"]) == ("verify", "slot-damaged", False)
    server.seen.clear()
    assert device.cycle().exit_code == 0
    assert device.served() == NEW.model
    slot = device.layout.line(MODEL).current
    assert (slot / "contract.json").read_bytes() == NEW.contract
    assert json.loads((slot / "manifest.json").read_text())["version"] == "1.1.0"
    assert server.requests("GET", "artifacts/") == [], "the model is right, and the contract was kept"


def test_same_model_in_another_version_gets_that_versions_contract(device: Device, server: StandIn) -> None:
    """The slot of an attempt that failed waits for the next one, which is for another version with the same model."""
    device.configure('[hooks]\npre_activate = ["/bin/sh", "-c", "exit 1"]\n')
    device.preinstall(OLD)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    device.configure()
    relabelled = Release(NEW.model, NEW.contract.replace(b"{", b"{ ", 1), NEW.samples)
    server.entries = [entry(server, relabelled, version="1.2.0")]
    server.seen.clear()
    device.cycle()
    slot = device.layout.line(MODEL).current
    assert (slot / "contract.json").read_bytes() == relabelled.contract
    assert json.loads((slot / "manifest.json").read_text())["version"] == "1.2.0"
    assert [seen.path.rpartition("/")[2] for seen in server.requests("GET", "artifacts/")] == [
        sha256(relabelled.contract)
    ]
