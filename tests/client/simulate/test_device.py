"""A virtual device beside the real agent on the same server, and on a link that fails it."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import disk
from client.simulate.line import Fate
from client.simulate.traffic import Cut, Kind
from tests.agent.device import Device, SteadyClock, entry
from tests.agent.models import release
from tests.agent.standin import StandIn, sha256, stand_in
from tests.client.simulate.virtual import Virtual, holding_of, virtual

OLD, NEW, WRONG = release(1), release(1, step=0.01), release(1, step=0.02, golden_error=0.5)
# What a device measures, and what it says in words of its own.
MEASURED = {"duration_s", "peak_memory_bytes", "samples", "max_abs_error", "agreement", "reason", "detail"}


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture
def other_server() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


def fresh_install(server: StandIn) -> dict[str, Any]:
    return entry(server, NEW)


def update(server: StandIn) -> dict[str, Any]:
    return entry(server, NEW, version="1.1.0")


def step_back(server: StandIn) -> dict[str, Any]:
    return entry(server, OLD, version="1.0.0", rollout="00000000-0000-4000-8000-000000000001")


def patch_that_fails(server: StandIn) -> dict[str, Any]:
    patch = server.add(b"no patch at all")
    way = {"way": "delta", "base": sha256(OLD.model), "format": 1, **patch}
    return entry(server, NEW, version="1.1.0", patches=(way,))


def failing_model(server: StandIn) -> dict[str, Any]:
    return entry(server, WRONG, version="1.2.0")


def on_hold(server: StandIn) -> dict[str, Any]:
    return entry(server, NEW) | {"action": "hold"}


def nothing(server: StandIn) -> dict[str, Any]:
    return entry(server, NEW) | {"target": None}


def lost_artifact(server: StandIn) -> dict[str, Any]:
    wanted = entry(server, NEW, version="1.1.0")
    del server.artifacts[wanted["target"]["sha256"]]
    return wanted


UNHEALTHY = '[hooks]\nhealth = ["/bin/false"]\nhealth_settle_s = 0\n'
Wish = Callable[[StandIn], dict[str, Any]]
# What the server wants in turn, what goes wrong on the device, and the table of its configuration that makes it so.
STORIES: dict[str, tuple[tuple[Wish, ...], Fate, str]] = {
    "fresh install": ((fresh_install,), Fate(), ""),
    "update and step back": ((update, step_back), Fate(), ""),
    "patch that fails": ((patch_that_fails,), Fate(patches_fail=True), ""),
    "model that fails its smoke run": ((failing_model,), Fate(smoke_fails=True), ""),
    "model that is not healthy": ((update,), Fate(is_unhealthy=True), UNHEALTHY),
    "artifact that is not there": ((lost_artifact,), Fate(), ""),
    "hold, nothing, update": ((on_hold, nothing, update), Fate(), ""),
}


@pytest.mark.parametrize("story", STORIES)
def test_virtual_device_tells_the_server_what_the_real_agent_tells(
    story: str, server: StandIn, other_server: StandIn, tmp_path: Path
) -> None:
    wishes, fate, configuration = STORIES[story]
    is_fresh = wishes[0] is fresh_install
    real = Device(tmp_path / "device", server, SteadyClock())
    real.root.mkdir()
    real.configure(configuration)
    real.enroll()
    if not is_fresh:
        real.preinstall(OLD)
    imagined = virtual(other_server, holding=None if is_fresh else holding_of(OLD), fate=fate)
    for wish in wishes:
        server.entries, other_server.entries = [wish(server)], [wish(other_server)]
        real.cycle()
        imagined.agent.cycle()
    disk.inject("")
    assert told(other_server) == told(server)
    assert asked(other_server) == asked(server)
    assert saying(other_server) == saying(server)
    assert imagined.agent.line.current == real.current()
    assert imagined.traffic.told.total() == len(server.events)


def told(server: StandIn) -> list[dict[str, Any]]:
    """Every event in its order, without ids, times and what is measured; counted bytes stay in."""
    attempts: dict[str, int] = {}
    events = []
    for event in server.events.values():
        number = attempts.setdefault(event["attempt"], len(attempts))
        detail = {key: None if key in MEASURED else value for key, value in event["detail"].items()}
        events.append(event | {"attempt": number, "at": None, "detail": detail})
    return events


def asked(server: StandIn) -> list[tuple[str, str]]:
    return [(seen.method, seen.path) for seen in server.seen]


def saying(server: StandIn) -> dict[str, Any]:
    return {**(server.said or {}), "attributes": None}


def test_lost_answers_are_said_again_and_taken_once(server: StandIn) -> None:
    server.entries = [entry(server, NEW)]
    device = virtual(server, loss=0.6, seed=6)
    device.cycles(200)
    assert device.traffic.cuts[Cut.ANSWER_LOST] > 0
    assert device.traffic.cuts[Cut.NO_CONNECTION] > 0
    assert device.agent.line.current == sha256(NEW.model)
    assert len(server.events) == device.traffic.told.total() == device.traffic.verdicts[Kind.EVENTS].accepted
    assert server.repeated == device.traffic.verdicts[Kind.EVENTS].repeated


def test_cut_download_is_resumed_and_every_byte_counted_once(server: StandIn) -> None:
    server.entries = [entry(server, NEW)]
    device = virtual(server, loss=0.7, seed=2)
    device.cycles(200)
    ranges = [seen.headers["range"] for seen in server.requests("GET", "artifacts") if "range" in seen.headers]
    assert device.traffic.resumes == len(ranges) > 0
    assert all(re.fullmatch(r"bytes=\d+-", one) for one in ranges)
    complete = [detail for detail in server.details("transferred") if detail["complete"]]
    assert len(complete) == 3
    # A body arrives once in all its parts; the rest are heads of answers, some 200 bytes each.
    bodies = sum(len(part) for part in (NEW.model, NEW.contract, NEW.samples))
    received = sum(detail["bytes_received"] for detail in server.details("transferred"))
    requests = sum(detail["requests"] for detail in server.details("transferred"))
    assert bodies < received < bodies + 300 * requests
    assert requests == len(server.requests("GET", "artifacts"))


def test_device_out_of_reach_asks_nothing_and_backs_off(server: StandIn) -> None:
    server.entries = [entry(server, NEW)]
    device = virtual(server, offline=0.9, offline_s=1e6, seed=1)
    for failures in range(1, 11):
        ended = device.agent.cycle()
        assert 1 <= ended.delay_s <= min(3600, 5 * 2 ** (failures - 1))
        device.clock.advance(ended.delay_s)
    assert server.seen == []
    assert device.traffic.cuts == {Cut.OUT_OF_REACH: 10}


def test_reach_that_ends_in_the_middle_cuts_the_download(server: StandIn) -> None:
    server.entries = [entry(server, NEW)]
    device = virtual(server, offline=0.5, offline_s=3.0, down_bytes_per_s=1_000.0, seed=4)
    device.cycles(400)
    assert device.traffic.cuts[Cut.CUT_SHORT] > 0
    assert device.agent.line.current == sha256(NEW.model)
    assert device.clock.at_s > len(NEW.model) / 1_000


def test_virtual_time_is_what_the_link_takes(server: StandIn) -> None:
    slow, quick = (virtual(server, down_bytes_per_s=rate) for rate in (1_000.0, 1_000_000.0))
    server.entries = [entry(server, NEW)]
    for device in (slow, quick):
        device.cycles(1)
    news = gzip.compress(json.dumps(server.line("digits").news()).encode())
    bodies = sum(len(part) for part in (NEW.model, NEW.contract, NEW.samples, news))
    assert slow.clock.at_s - quick.clock.at_s == pytest.approx(bodies / 1_000, rel=0.3)


def test_earned_benchmark_is_reported_once_with_a_run_id_of_its_own(server: StandIn) -> None:
    server.entries = [entry(server, NEW)]
    devices: list[Virtual] = [virtual(server, report={"run_id": "-", "schema": "any"}) for _device in range(2)]
    for device in devices:
        device.cycles(3)
    assert len(server.reports) == 2
    assert {report["sha256"] for report in server.reports.values()} == {sha256(NEW.model)}


def test_download_with_other_bytes_is_rejected_and_the_way_given_up(server: StandIn) -> None:
    wanted = entry(server, NEW)
    server.artifacts[wanted["target"]["sha256"]] = NEW.model[:-1] + b"!"
    server.entries = [wanted]
    device = virtual(server)
    device.cycles(3)
    assert device.agent.line.current is None
    assert [detail["reason"] for detail in server.details("failed")] == ["wrong-digest"]
    assert device.traffic.told == {"started": 1, "transferred": 3, "failed": 1}
