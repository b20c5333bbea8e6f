"""What the real agent sends passes the server's serializers, and what the server answers the real agent reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import disk, policy
from agent.wire import Way, parse_poll_answer
from fleet.measurements.api.serializers import ReportsSerializer
from fleet.measurements.services import MAX_REPORT_BYTES
from fleet.rollouts.api.event_serializers import DETAILS, MAX_EVENTS, read_events
from fleet.rollouts.api.poll_serializers import PollAnswerSerializer, PolledInstallationSerializer, SayingSerializer
from fleet.rollouts.messages import EventKind
from fleet.rollouts.poll import File, InstallationState, Target, Tolerances, poll_answer
from registry.deltas.queries import Way as OfferedWay
from tests.agent.device import Device, SteadyClock, entry
from tests.agent.models import release
from tests.agent.standin import StandIn, stand_in

GOOD, WRONG = release(1), release(2, golden_error=0.5)
BENCH = '[bench]\nenabled = true\ntier = "smoke"\n'


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture
def device(server: StandIn, tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path / "device", server, SteadyClock())
    made.root.mkdir()
    made.configure()
    made.enroll()
    yield made
    disk.inject("")


def accepted(server: StandIn) -> set[str]:
    """Every event that the agent sent, read by the server; the kinds."""
    messages, refused = read_events(server.events.values())
    assert not refused
    return {message.kind.value for message in messages}


def test_events_and_saying_of_a_real_update_are_read(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, GOOD)]
    assert device.cycle().exit_code == 0
    assert accepted(server) >= {"started", "transferred", "applied", "smoke_passed", "activated"}
    said = SayingSerializer(data=server.said)
    assert said.is_valid(), said.errors
    assert said.saying().installations[0].current is not None


def test_rule_that_a_device_waits_for_is_read(device: Device, server: StandIn) -> None:
    device.configure('[policy]\nmetered = true\nmetered_downloads = "never"\n')
    server.entries = [entry(server, GOOD)]
    device.cycle()
    said = SayingSerializer(data=server.said)
    assert said.is_valid(), said.errors
    refused = said.saying().installations[0].refused
    assert refused is not None
    assert refused.rule == "metered-link"


@pytest.mark.parametrize("slug", [rule.slug for rule in policy.RULES])
def test_every_rule_can_be_said(slug: str) -> None:
    held = {
        "model": "digits",
        "current": None,
        "previous": None,
        "refused": {"rule": slug, "detail": "x" * policy.MAX_DETAIL},
    }
    said = SayingSerializer(data={"agent_version": "1", "patch_formats": [1], "installations": [held]})
    assert said.is_valid(), said.errors


def test_events_of_a_shadow_run_and_a_step_back_are_read(device: Device, server: StandIn) -> None:
    device.configure("[shadow]\nenabled = true\n")
    server.entries = [entry(server, GOOD)]
    device.cycle()
    device.configure('[shadow]\nenabled = true\n[hooks]\nhealth_settle_s = 0\nhealth = ["/bin/false"]\n')
    server.entries = [entry(server, release(1, step=1e-4), version="1.1.0")]
    device.cycle()
    assert accepted(server) >= {"shadowed", "activated", "rolled_back"}
    fresh = [set(detail) for detail in server.details("shadowed")]
    assert fresh == [set(DETAILS[EventKind.SHADOWED]().fields)] * 2, (
        "the agent fills every field, null where it has none"
    )


def test_events_of_a_real_failure_are_read(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, WRONG)]
    device.cycle()
    assert "failed" in accepted(server)


def test_reports_of_a_real_update_are_read(device: Device, server: StandIn) -> None:
    device.configure(BENCH)
    server.entries = [entry(server, GOOD)]
    device.cycle()
    device.cycle()
    reports = list(server.reports.values())
    assert reports
    read = ReportsSerializer(data={"reports": reports})
    assert read.is_valid(), read.errors
    assert all(len(str(report)) < MAX_REPORT_BYTES for report in reports)


def state(**changes: Any) -> InstallationState:
    target = Target("1.1.0", "fp32", File("a" * 64, 900), File("c" * 64, 50), File("d" * 64, 60), Tolerances(atol=0.1))
    ways = [OfferedWay("delta", "e" * 64, 10, "b" * 64, 1), OfferedWay("packed", "f" * 64, 500, None, 1)]
    fields: dict[str, Any] = {"rollout": "6f0b1d3e-6b7e-4a40-9f3e-0d5d9c3b8a11", "ways": ways, "wait_for_delta_s": 600}
    return InstallationState("digits", target, **(fields | changes))


@pytest.mark.parametrize("on_hold", [False, True])
def test_agent_reads_every_field_of_an_answer(*, on_hold: bool) -> None:
    answer = poll_answer([state(on_hold=on_hold), InstallationState("words")], poll_after_s=60)
    read = parse_poll_answer(answer, models=["digits", "words"], max_artifact_bytes=10**6)
    assert read.refused == ()
    digits = read.entries["digits"]
    assert digits.target is not None
    assert (digits.hold, digits.rollout, digits.wait_for_delta_s) == (on_hold, state().rollout, 600)
    # What the target is else, signed metadata says.
    assert (digits.target.sha256, digits.target.path) == ("a" * 64, "1.1.0/fp32")
    assert [way.way for way in digits.ways] == [Way.DELTA, Way.PACKED, Way.RAW]
    assert read.entries["words"].target is None


@pytest.mark.parametrize("shown", [state(), InstallationState("words"), state(on_hold=True, delta_pending=True)])
def test_answer_is_what_the_openapi_document_says(shown: InstallationState) -> None:
    answer = poll_answer([shown], poll_after_s=60)
    read = PollAnswerSerializer(data=answer)
    assert read.is_valid(), read.errors
    assert set(answer["installations"][0]) == set(PolledInstallationSerializer().fields)


def test_every_kind_of_event_has_its_detail() -> None:
    assert set(DETAILS) == set(EventKind)
    assert MAX_EVENTS == 100
