"""What the agent says, when, and that it says it until it is heard."""

import json
import re
from pathlib import Path

import pytest

from agent import disk
from agent.outbox import BLOCK_BYTES, MAX_EVENTS, MAX_KIND_BYTES, Outbox
from delta.versions import READABLE_VERSIONS
from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.standin import CREDENTIAL, StandIn, sha256

OLD, NEW = release(1), release(1, step=1e-4)
GOAL_IDLE_POLL_BYTES = 300
# What the decoder reads, and what could not be written into the state.
NESTED = b'{"poll_after_s": 60, "installations": [{"model": "digits", "action": "hold", "new": %b}]}' % (
    b"[" * 600 + b"]" * 600
)


def test_device_says_first_and_asks_after_that(device: Device, server: StandIn) -> None:
    device.configure('[attributes]\nsite = "berlin"\n')
    device.cycle()
    device.cycle()
    device.cycle()
    assert [seen.method for seen in server.seen] == ["POST", "GET", "GET"]
    assert server.said is not None
    assert server.said["patch_formats"] == list(READABLE_VERSIONS)
    assert server.said["attributes"]["site"] == "berlin"
    assert int(server.said["attributes"]["ram_mib"]) > 0, "facts of the machine, from the facts child"


def test_configured_attribute_wins_over_a_fact(device: Device, server: StandIn) -> None:
    device.configure('[attributes]\narch = "mine"\n')
    device.cycle()
    assert server.said is not None
    assert server.said["attributes"]["arch"] == "mine"


def test_change_of_what_it_has_to_say_is_said(device: Device, server: StandIn) -> None:
    device.cycle()
    device.configure('[attributes]\nsite = "berlin"\n')
    device.cycle()
    assert [seen.method for seen in server.seen] == ["POST", "POST"]


def test_server_that_forgot_is_told_again(device: Device, server: StandIn) -> None:
    device.cycle()
    server.said = None
    assert device.cycle().exit_code == 0
    assert [seen.method for seen in server.seen] == ["POST", "GET", "POST"]


def test_unchanged_answer_goes_on_with_the_remembered_one(device: Device, server: StandIn) -> None:
    """A transfer that failed is continued after a 304: nothing changed on the server, but something is to be done."""
    server.entries = [entry(server, OLD, with_samples=False)]
    server.problems["artifacts"] = (503, "busy")
    device.cycle()
    server.problems.clear()
    device.cycle()
    assert device.served() == OLD.model


@pytest.mark.parametrize("etag", ['"caf\xe9"', '"a\tb"'])
def test_etag_that_no_request_may_hold_costs_a_304_and_no_more(device: Device, server: StandIn, etag: str) -> None:
    answered = {"poll_after_s": 60, "installations": []}
    server.take_over_polls.append(lambda handler, _body: handler.answer_json(answered, ETag=etag))
    with device.agent() as agent:
        assert [agent.cycle().exit_code for _cycle in range(2)] == [0, 0]
    assert [seen.method for seen in server.seen] == ["POST", "POST"]


def test_idle_poll_is_small(device: Device, server: StandIn) -> None:
    device.preinstall(OLD)
    server.entries = [entry(server, OLD)]
    device.cycle()
    with device.agent() as agent:
        agent.cycle()
        before = agent.client.counted()
        agent.cycle()
        spent = agent.client.counted() - before
    assert [seen.method for seen in server.seen[-2:]] == ["GET", "GET"]
    assert spent.requests == 1
    assert set(server.seen[-1].headers) == {"host", "authorization", "if-none-match"}
    assert spent.sent + spent.received <= GOAL_IDLE_POLL_BYTES, spent


def test_events_wait_until_the_server_takes_them(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, OLD)]
    server.problems["events"] = (503, "busy")
    assert device.cycle().exit_code == 6
    assert device.served() == OLD.model
    waiting = {path.name: path.read_bytes() for path in device.layout.outbox.iterdir()}
    assert len(waiting) == 7
    device.cycle()
    assert {path.name: path.read_bytes() for path in device.layout.outbox.iterdir()} == waiting
    server.problems.clear()
    device.cycle()
    assert list(device.layout.outbox.iterdir()) == []
    assert sorted(seq for _attempt, seq in server.events) == list(range(7))
    assert server.kinds()[-1] == "activated"


def test_answer_that_is_lost_costs_a_repetition(device: Device, server: StandIn) -> None:
    """The server took the events, the agent never heard: the same events come again under the same numbers."""
    server.entries = [entry(server, OLD)]
    server.problems["events"] = (503, "busy")
    device.cycle()
    for path in device.layout.outbox.iterdir():
        event = json.loads(path.read_bytes())
        server.events[event["attempt"], event["seq"]] = event
    server.problems.clear()
    device.cycle()
    assert (server.repeated, len(server.events)) == (7, 7)


def test_refused_event_is_dropped(device: Device, server: StandIn) -> None:
    server.refuse_events = {"applied"}
    server.entries = [entry(server, OLD)]
    device.cycle()
    assert "applied" not in server.kinds()
    assert list(device.layout.outbox.iterdir()) == []


def test_one_message_that_the_server_cannot_read_does_not_hold_up_the_rest(device: Device, server: StandIn) -> None:
    device.layout.prepare((MODEL,))
    outbox = Outbox(device.layout.outbox)
    events = [
        {"attempt": f"00000000-0000-0000-0000-00000000000{index}", "seq": 0, "kind": "started", "detail": {}}
        for index in range(3)
    ]
    for event in events:
        outbox.put_event(event)
    (device.layout.outbox / f"event-{events[0]['attempt']}-000000.json").write_text("{damaged")
    with device.agent() as agent:
        server.problems["events"] = (422, "malformed")
        agent.outbox.send(agent.client)
    posted = [len(seen.json()["events"]) for seen in server.requests("POST", "events")]
    assert posted == [2, 1, 1], "the batch, then each by itself"
    assert list(device.layout.outbox.iterdir()) == []


@pytest.mark.parametrize("restarts", [False, True])
def test_event_that_the_disk_refused_is_told_when_there_is_room(
    device: Device, server: StandIn, *, restarts: bool
) -> None:
    server.entries = [entry(server, OLD, with_samples=False)]
    with device.agent() as agent:
        disk.inject("enospc@write event")
        assert agent.cycle().exit_code == 7
        if not restarts:
            disk.inject("")
            agent.cycle()
    if restarts:
        device.cycle()  # the disk is still full
        disk.inject("")
        device.cycle()
    assert ["started", "failed"] in [server.kinds(attempt) for attempt, _seq in server.events]
    assert device.served() == OLD.model


def test_full_outbox_forgets_its_oldest(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    for index in range(MAX_EVENTS):
        (tmp_path / f"event-00000000-0000-0000-0000-000000000000-{index:06d}.json").write_text("{}")
    outbox.put_event({"attempt": "00000000-0000-0000-0000-000000000000", "seq": MAX_EVENTS})
    assert outbox.counts()["events"] == MAX_EVENTS
    assert (tmp_path / f"event-00000000-0000-0000-0000-000000000000-{MAX_EVENTS:06d}.json").exists()


def test_outbox_is_bounded_in_bytes_on_disk_too(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    for _report in range(12):
        outbox.put_report({"report": "x" * (1 << 20)})
    left = sorted(tmp_path.iterdir())
    assert sum(-(-path.stat().st_size // BLOCK_BYTES) * BLOCK_BYTES for path in left) <= MAX_KIND_BYTES
    assert len(left) == 7, "as many as fit, the newest"


@pytest.mark.parametrize(
    ("status", "exit_code", "delays_s"),
    [(500, 6, (1, 5)), (429, 6, (120, 126)), (401, 5, (800, 900)), (404, 5, (800, 900))],
)
def test_poll_that_fails_is_not_repeated_soon(
    device: Device, server: StandIn, status: int, exit_code: int, delays_s: tuple[float, float]
) -> None:
    device.preinstall(OLD)
    server.problems["poll"] = (status, "some-problem")
    server.retry_after_s = 120 if status == 429 else None
    outcome = device.cycle()
    assert outcome.exit_code == exit_code
    assert delays_s[0] <= outcome.delay_s <= delays_s[1]
    assert device.served() == OLD.model


def test_repeated_failures_back_off(device: Device, server: StandIn) -> None:
    server.problems["poll"] = (500, "broken")
    with device.agent() as agent:
        delays = [agent.cycle().delay_s for _ in range(14)]
        assert delays == sorted(delays)
        assert delays[-1] == 1800, "full jitter's middle of an hour"
        server.problems["poll"] = (401, "unauthenticated")
        assert [agent.cycle().delay_s for _ in range(12)][-1] == pytest.approx(86_400 * 0.95)
        server.problems.clear()
        assert agent.cycle().delay_s == 60


@pytest.mark.parametrize(("head", "least_s"), [("", 5), ("poll_interval_s = 2", 1.8)])
def test_server_that_wants_no_pause_is_asked_no_more_often_than_the_floor(
    device: Device, server: StandIn, head: str, least_s: float
) -> None:
    """It answers poll_after_s 0, without an ETag; the floor is the server's, the owner's interval may be shorter."""
    device.configure(head=head)
    device.preinstall(OLD)
    server.poll_body = json.dumps({"poll_after_s": 0, "installations": [entry(server, OLD)]}).encode()
    with device.agent() as agent:
        for polls in range(1, 6):
            delay_s = agent.cycle().delay_s
            assert least_s <= delay_s + 0.1 <= 5.5
            assert len(server.seen) == polls, "one poll in a cycle"
            device.clock.ahead_s += delay_s


def test_delivery_that_fails_backs_off_and_brings_no_poll_forward(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, OLD)]
    server.poll_after_s = 600
    server.problems["events"] = (503, "busy")
    with device.agent() as agent:
        outcome = agent.cycle()
        assert (outcome.exit_code, len(server.requests("POST", "events"))) == (6, 1)
        assert device.served() == OLD.model
        server.seen.clear()
        waited_s = 0.0
        while waited_s + outcome.delay_s < 590:
            waited_s += outcome.delay_s
            device.clock.ahead_s += outcome.delay_s
            outcome = agent.cycle()
        assert {seen.path for seen in server.seen} == {"/api/v1/events"}, "no poll before its time"
        assert 5 <= len(server.seen) <= 9, "the pauses double"
        server.problems.clear()
        device.clock.ahead_s += outcome.delay_s
        agent.cycle()
        assert [seen.path for seen in server.seen].count("/api/v1/poll") == 1
        device.clock.ahead_s += 600
        assert agent.cycle().exit_code == 0
    assert list(device.layout.outbox.iterdir()) == []


def test_delivery_is_made_up_for_before_the_next_poll(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, OLD)]
    server.problems["events"] = (503, "busy")
    with device.agent() as agent:
        device.clock.ahead_s += agent.cycle().delay_s
        server.problems.clear()
        server.seen.clear()
        outcome = agent.cycle()
        assert (outcome.exit_code, [seen.path for seen in server.seen]) == (0, ["/api/v1/events"])
        assert 50 < outcome.delay_s < 60, "what is left of the interval"
    assert server.kinds()[-1] == "activated"


def test_server_that_is_not_there_is_tried_again(device: Device) -> None:
    device.configure(head="")
    text = device.config_file.read_text()
    device.config_file.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", text))
    assert device.cycle().exit_code == 6


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"poll_after_s": 60}', b"\xff" * 10, b"[" * 100_000, NESTED])
def test_answer_that_breaks_the_contract_changes_nothing(device: Device, server: StandIn, body: bytes) -> None:
    device.preinstall(OLD)
    server.poll_body = body
    assert device.cycle().exit_code == 8
    assert device.served() == OLD.model


def test_slow_clock_and_wrong_clock_change_no_event_number(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, OLD)]
    device.clock.wall_time = lambda: "1970-01-01T00:00:00.000Z"  # type: ignore[method-assign]
    device.cycle()
    assert {event["at"] for event in server.events.values()} == {"1970-01-01T00:00:00.000Z"}
    assert server.kinds()[-1] == "activated"


def test_credential_is_in_no_log_line(device: Device, server: StandIn) -> None:
    server.entries = [entry(server, OLD)]
    ended = device.run("once", "--log-level", "debug")
    assert ended.returncode == 0
    assert CREDENTIAL not in ended.stderr + ended.stdout
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {"started", "activated"} <= {line["event"] for line in lines}
    assert sha256(OLD.model) in ended.stderr


def test_idle_cycle_writes_nothing(device: Device, server: StandIn, tmp_path: Path) -> None:
    """Flash wears."""
    device.preinstall(OLD)
    server.entries = [entry(server, OLD)]
    device.cycle()
    trace = tmp_path / "trace"
    disk.inject(f"trace@{trace}")
    assert device.cycle().exit_code == 0
    assert not trace.exists()
