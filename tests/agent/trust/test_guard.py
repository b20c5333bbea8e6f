"""When a device asks for metadata, what it does without, and what it takes to start."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.clock import Instant
from agent.state import News
from agent.trust import keeping
from agent.trust.news import ASK_AGAIN_S, MAX_BYTES, is_due, reason_to_ask
from agent.trust.rules import REFUSED, Denied
from agent.trust.verified import Verified, Versions
from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.repository import Repository, signed_target
from tests.agent.standin import Handler, StandIn, sha256
from tests.agent.test_commands import bundle_of

OLD, NEW = release(1), release(1, step=1e-4)
DAY_S = 86_400.0


def refused(server: StandIn) -> Any:
    assert server.said is not None
    return (server.said["installations"][0].get("refused") or {}).get("rule")


def settle(device: Device, server: StandIn) -> None:
    """A device that has installed OLD from the server, and knows all that is signed."""
    server.entries = [entry(server, OLD)]
    assert device.cycle().exit_code == 0
    assert device.served() == OLD.model
    server.seen_news.clear()


def test_device_that_knows_the_newest_list_asks_for_nothing(device: Device, server: StandIn) -> None:
    settle(device, server)
    for _cycle in range(3):
        device.cycle()
    assert server.seen_news == []


def test_list_that_never_comes_is_asked_for_once_and_again_after_hours(device: Device, server: StandIn) -> None:
    settle(device, server)
    server.entries = [{**server.entries[0], "targets_version": 99}]
    for _cycle in range(3):
        device.cycle()
    assert len(server.seen_news) == 1
    device.clock.ahead_s = ASK_AGAIN_S
    device.cycle()
    assert len(server.seen_news) == 2
    server.entries = [{**server.entries[0], "targets_version": 100}]
    device.cycle()
    assert len(server.seen_news) == 3, "another answer is another question"


def test_question_says_what_is_known(device: Device, server: StandIn) -> None:
    settle(device, server)
    server.line(MODEL).sign_targets()
    device.cycle()
    [asked] = server.seen_news
    assert asked.path.endswith(f"/models/{MODEL}/metadata/news?root=1&timestamp=2&snapshot=2&targets=2")
    assert asked.headers["accept-encoding"] == "gzip"


def test_timestamp_is_renewed_in_the_last_third_of_its_life(device: Device, server: StandIn) -> None:
    settle(device, server)
    device.clock.ahead_s = 4.5 * DAY_S
    device.cycle()
    assert server.seen_news == []
    device.clock.ahead_s = 4.7 * DAY_S
    for _cycle in range(3):
        device.cycle()
    assert len(server.seen_news) == 1, "the server has none, and is left alone for some hours"
    server.line(MODEL).sign_timestamp(timedelta(days=12))
    device.clock.ahead_s += ASK_AGAIN_S
    for _cycle in range(3):
        device.cycle()
    assert len(server.seen_news) == 2
    kept = keeping.read(device.layout, MODEL)
    assert kept is not None
    assert kept.versions.timestamp == 3


def test_device_that_is_on_for_an_hour_a_day_renews_too() -> None:
    """Its seconds since boot never reach the hours that another question waits for."""
    at = datetime(2026, 11, 23, tzinfo=UTC)
    says = Verified(Versions(1, 2, 2, 2), at + timedelta(days=1), at + timedelta(days=1), at - timedelta(days=6), ())
    asked = News(Instant("monday", 300.0), None, None)
    reason = reason_to_ask(None, says, Instant("tuesday", 300.0))
    assert is_due(asked, reason, says, at)
    refused_then = replace(asked, denied=Denied(REFUSED, "older"))
    fresh = replace(says, accepted_at=at, online_expires_at=at + timedelta(days=7))
    assert is_due(refused_then, reason, fresh, at)
    assert not is_due(asked, reason, fresh, at), "nothing is wrong"
    later = reason_to_ask(None, says, Instant("tuesday", 3600.0))
    assert not is_due(reason, later, says, at), "once for each boot"


def test_expired_metadata_lets_the_model_run_on_and_begins_nothing(device: Device, server: StandIn) -> None:
    settle(device, server)
    device.clock.ahead_s = 8 * DAY_S
    device.cycle()
    assert (device.served(), refused(server)) == (OLD.model, "metadata-expired")
    wanted = entry(server, NEW, version="1.1.0")
    server.entries = [wanted]
    server.seen.clear()
    server.problems["models"] = (503, "busy")
    device.cycle()
    assert server.requests("GET", "artifacts/") == []
    server.problems.clear()
    server.line(MODEL).sign_timestamp(timedelta(days=20))
    device.clock.ahead_s += ASK_AGAIN_S
    device.cycle()
    assert (device.served(), refused(server)) == (NEW.model, None)


def test_wall_clock_that_is_set_back_unexpires_nothing(device: Device, server: StandIn) -> None:
    settle(device, server)
    device.clock.ahead_s = 8 * DAY_S
    wall = device.clock.utc
    device.clock.utc = lambda: wall() - timedelta(days=400)  # type: ignore[method-assign]
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    assert (device.served(), refused(server)) == (OLD.model, "metadata-expired")


def test_news_that_fails_stops_what_needs_it_and_nothing_else(device: Device, server: StandIn) -> None:
    settle(device, server)
    known = server.entries[0]
    server.problems["models"] = (503, "busy")
    server.entries = [{**known, "targets_version": 7}]
    assert device.cycle().exit_code == 0
    server.entries = [entry(server, NEW, version="1.1.0")]
    assert device.cycle().exit_code == 6
    assert refused(server) is None, "that is no verdict on what is wanted"
    server.problems.clear()
    assert device.cycle().exit_code == 0
    assert device.served() == NEW.model


def test_bomb_is_unpacked_no_further_than_its_cap(device: Device, server: StandIn) -> None:
    import gzip

    def bomb(handler: Handler, _content: bytes) -> None:
        handler.answer(200, gzip.compress(bytes(40 * MAX_BYTES)), Content_Encoding="gzip")

    settle(device, server)
    server.take_over_news.append(bomb)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    assert (device.served(), refused(server)) == (OLD.model, "metadata-refused")
    device.clock.ahead_s = ASK_AGAIN_S
    device.cycle()
    assert (device.served(), refused(server)) == (NEW.model, None)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"p50_latency_ns": 1}, "latency-limit"), ({"peak_memory_bytes": 1}, "memory-limit")],
)
def test_model_above_a_signed_limit_never_serves(
    device: Device, server: StandIn, limits: dict[str, int], reason: str
) -> None:
    settle(device, server)
    wanted = entry(server, NEW, version="1.1.0")
    server.line(MODEL).publish(signed_target(MODEL, wanted["target"], limits=limits))
    server.entries = [wanted]
    assert device.cycle().exit_code == 7
    assert device.served() == OLD.model
    [failed] = server.details("failed")
    assert (failed["stage"], failed["reason"], failed["permanent"]) == ("smoke", reason, True)


def test_model_within_its_signed_limits_serves(device: Device, server: StandIn) -> None:
    settle(device, server)
    wanted = entry(server, NEW, version="1.1.0")
    limits = {"p50_latency_ns": 10**10, "peak_memory_bytes": 2**31}
    server.line(MODEL).publish(signed_target(MODEL, wanted["target"], limits=limits))
    server.entries = [wanted]
    device.cycle()
    assert device.served() == NEW.model


def test_agent_does_not_start_without_a_root_for_every_line(device: Device, server: StandIn) -> None:
    device.configure(models=(MODEL, "words"))
    device.pin(MODEL)
    ended = device.run("once")
    assert (ended.returncode, server.seen) == (12, [])
    assert "words: no root is trusted" in ended.stderr


def test_agent_does_not_start_at_a_server_without_the_pinned_root(device: Device, server: StandIn) -> None:
    server.lines[MODEL] = Repository(MODEL)
    ended = device.run("once")
    assert (ended.returncode, server.seen) == (12, [])
    assert "pin-unmatched" in ended.stderr


def test_owner_may_trust_another_root(device: Device, server: StandIn) -> None:
    settle(device, server)
    server.lines[MODEL] = Repository(MODEL)
    server.entries = [entry(server, NEW, version="1.1.0")]
    device.cycle()
    assert (device.served(), refused(server)) == (OLD.model, "not-signed")
    ended = device.run("trust", MODEL, sha256(server.lines[MODEL].roots[0].encode()))
    assert ended.returncode == 0, ended.stderr
    assert "1 signed targets until" in ended.stdout
    device.cycle()
    assert (device.served(), refused(server)) == (NEW.model, None)
    assert device.run("trust", "words", "ab" * 32).returncode == 2
    assert device.run("trust", MODEL, "main").returncode == 2
    assert device.run("trust", MODEL, "ab" * 32).returncode == 12


def test_bundle_older_than_what_is_known_installs_what_is_still_signed(
    device: Device, server: StandIn, tmp_path: Path
) -> None:
    server.entries = [entry(server, OLD)]
    path = bundle_of(server, entry(server, NEW, version="1.1.0"), tmp_path)
    server.line(MODEL).sign_targets()
    device.cycle()
    assert device.run("install", str(path)).returncode == 0
    assert device.served() == NEW.model


def test_bundle_without_metadata_or_with_what_is_over_is_refused(
    device: Device, server: StandIn, tmp_path: Path
) -> None:
    wanted = entry(server, OLD)
    server.line(MODEL).sign_timestamp(timedelta(seconds=-1))
    ended = device.run("install", str(bundle_of(server, wanted, tmp_path)))
    assert (ended.returncode, "metadata-expired" in ended.stderr) == (12, True)
    assert device.current() is None
