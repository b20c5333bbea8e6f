"""The rules of the agent, one row each."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.clock import Instant
from agent.conditions import Conditions, Look
from agent.config import Policy
from agent.decide import (
    Abandon,
    Action,
    Activate,
    Apply,
    Begin,
    Fetch,
    GiveUp,
    Idle,
    Observe,
    Shadow,
    Smoke,
    StepBack,
    TryOffer,
    WaitForDelta,
    decide,
    retry_delay_s,
)
from agent.hours import Hours
from agent.policy import Activity, LookAt, Refused
from agent.state import Failure, LineState, Pending, Setback, Stage
from agent.trust.rules import Denied, Trusted
from agent.trust.verified import Verified, Versions
from agent.wire import Blob, Entry, Limits, Offer, Target, Tolerances, Wanted, Way

NOW = Instant("boot", 1000.0)
ROLLOUT = "11111111-1111-1111-1111-111111111111"
NEW, OLD, OLDER = "a" * 64, "b" * 64, "c" * 64
TARGET = Target("1.1.0", "fp32", NEW, 900, Blob("d" * 64, 10), None, Tolerances())
WANTED = Wanted(NEW, "1.1.0/fp32")
AT = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = AT + timedelta(days=7)
SIGNED = Verified(Versions(1, 3, 3, 2), expires_at=WEEK, online_expires_at=WEEK, accepted_at=AT, targets=(TARGET,))
TRUSTED = Trusted(SIGNED, AT, device_class="pi5", max_artifact_bytes=1000, installed="1.0.0")
DELTA = Offer(Way.DELTA, "1" * 64, 60, base=OLD, format=1)
PACKED = Offer(Way.PACKED, "2" * 64, 700, format=1)
RAW = Offer(Way.RAW, NEW, 900)
ENTRY = Entry("digits", hold=False, rollout=ROLLOUT, target=WANTED, ways=(DELTA, PACKED, RAW), wait_for_delta_s=600)
LINE = LineState(current=OLD, previous=OLDER)
PENDING = Pending("attempt", ROLLOUT, TARGET, since=NOW)
POLICY = Policy(max_delta_wait_s=300, retry_failed_s=600)
SETBACK = Setback("apply", "patch-malformed", "")


def at(stage: Stage, **changes: object) -> LineState:
    return replace(LINE, pending=replace(PENDING, stage=stage, **changes))  # type: ignore[arg-type]


def failed(*, permanent: bool, ago_s: float = 0, times: int = 1, rollout: str | None = ROLLOUT) -> LineState:
    at_ = Instant("boot", NOW.uptime_s - ago_s)
    return replace(LINE, failures=(Failure(NEW, rollout, "why", permanent, times, at_),))


WAITING = replace(ENTRY, delta_pending=True)

ROWS: dict[str, tuple[LineState, Entry | None, Action]] = {
    "no entry": (LINE, None, Idle("no-target")),
    "no target": (LINE, replace(ENTRY, target=None), Idle("no-target")),
    "no target any more": (at(Stage.CHOSEN), replace(ENTRY, target=None), Abandon("withdrawn")),
    "entry gone": (at(Stage.CHECKED), None, Abandon("withdrawn")),
    "hold starts nothing": (LINE, replace(ENTRY, hold=True), Idle("on-hold")),
    "hold finishes nothing": (at(Stage.CHECKED), replace(ENTRY, hold=True), Idle("on-hold")),
    "up to date": (replace(LINE, current=NEW), ENTRY, Idle("up-to-date")),
    "new target": (LINE, ENTRY, Begin(TARGET, ROLLOUT)),
    "failed for good": (failed(permanent=True, ago_s=900), ENTRY, Idle("failed-for-good: why")),
    "failed for good in another rollout": (failed(permanent=True, rollout=None), ENTRY, Begin(TARGET, ROLLOUT)),
    "failed lately": (failed(permanent=False, ago_s=599), ENTRY, Idle("failed-lately: why")),
    "failed a while ago": (failed(permanent=False, ago_s=601), ENTRY, Begin(TARGET, ROLLOUT)),
    "failed twice waits twice as long": (
        failed(permanent=False, ago_s=1000, times=2),
        ENTRY,
        Idle("failed-lately: why"),
    ),
    "another target": (at(Stage.STAGED, target=replace(TARGET, sha256=OLDER)), ENTRY, Abandon("superseded")),
    "another rollout": (at(Stage.STAGED, rollout=None), ENTRY, Abandon("superseded")),
    "smallest way first": (at(Stage.NEW), ENTRY, TryOffer(DELTA, None)),
    "base not held": (replace(at(Stage.NEW), current=OLDER), ENTRY, TryOffer(PACKED, None)),
    "previous before any way": (
        replace(at(Stage.NEW), previous=NEW),
        ENTRY,
        TryOffer(Offer(Way.PREVIOUS, NEW, 0), None),
    ),
    "delta pending": (at(Stage.NEW), WAITING, WaitForDelta(300)),
    "server waits less": (at(Stage.NEW), replace(WAITING, wait_for_delta_s=20), WaitForDelta(20)),
    "waited some": (at(Stage.NEW, since=Instant("boot", 800)), WAITING, WaitForDelta(100)),
    "waited enough": (at(Stage.NEW, since=Instant("boot", 700)), WAITING, TryOffer(DELTA, None)),
    "waited before a reboot": (at(Stage.NEW, since=Instant("earlier boot", 5e6)), WAITING, TryOffer(DELTA, None)),
    "after a setback no waiting": (
        at(Stage.NEW, offer=DELTA, failed_offers=(DELTA.sha256,), setback=SETBACK),
        WAITING,
        TryOffer(PACKED, Way.DELTA),
    ),
    "no way left": (
        at(Stage.NEW, offer=RAW, failed_offers=(DELTA.sha256, PACKED.sha256, RAW.sha256), setback=SETBACK),
        ENTRY,
        GiveUp(SETBACK, permanent=True),
    ),
    "no way at all": (
        at(Stage.NEW),
        replace(ENTRY, ways=()),
        GiveUp(Setback("download", "no-way", "none of 0 ways can be gone here"), permanent=True),
    ),
    "chosen": (at(Stage.CHOSEN, offer=RAW), ENTRY, Fetch()),
    "chosen way stays when others appear": (at(Stage.CHOSEN, offer=RAW), WAITING, Fetch()),
    "fetched": (at(Stage.FETCHED, offer=RAW), ENTRY, Apply()),
    "staged": (at(Stage.STAGED), ENTRY, Smoke()),
    "smoke run was cut off once": (at(Stage.STAGED, smoke_runs=1), ENTRY, Smoke()),
    "smoke run never ends": (
        at(Stage.STAGED, smoke_runs=2),
        ENTRY,
        GiveUp(Setback("smoke", "smoke-unfinished", "2 smoke runs never came to an end"), permanent=True),
    ),
    "checked": (at(Stage.CHECKED), ENTRY, Shadow()),
    "shadow run was cut off once": (at(Stage.CHECKED, shadow_runs=1), ENTRY, Shadow()),
    "shadow run never ends": (
        at(Stage.CHECKED, shadow_runs=2),
        ENTRY,
        GiveUp(Setback("shadow", "shadow-unfinished", "2 shadow runs never came to an end"), permanent=True),
    ),
    "ready": (at(Stage.READY), ENTRY, Activate()),
    "switch was cut off": (at(Stage.SWITCHING), ENTRY, Activate()),
    "health is not known": (at(Stage.OBSERVED, health_runs=2), ENTRY, Observe()),
    "health is asked without the server": (at(Stage.OBSERVED), None, Observe()),
    "health is asked while the rollout is held": (at(Stage.OBSERVED), replace(ENTRY, hold=True), Observe()),
    "health check never ends": (
        at(Stage.OBSERVED, health_runs=3),
        None,
        StepBack(Setback("health", "health-unfinished", "3 health checks never came to an end")),
    ),
    "step back is finished without the server": (at(Stage.STEPPING_BACK, setback=SETBACK), None, StepBack(SETBACK)),
    "step back is finished whatever else is wanted": (
        at(Stage.STEPPING_BACK, setback=SETBACK),
        replace(ENTRY, target=None),
        StepBack(SETBACK),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_rule(name: str) -> None:
    line, wanted, action = ROWS[name]
    held = frozenset(sha256 for sha256 in (line.current, line.previous) if sha256 is not None)
    assert decide(line, wanted, trusted=TRUSTED, policy=POLICY, held=held, now=NOW) == action


# Every rule refuses, and everything is known.
STRICT = replace(
    POLICY,
    metered_downloads="never",
    free_disk_mb=1,
    battery_percent=50,
    quiet_hours=(Hours.parse("09:00-10:00"),),
    busy_hook=("/hook",),
)
WORST = Conditions(
    looked=frozenset(Look),
    is_metered=True,
    free_bytes=0,
    battery_percent=1,
    time_of_day_s=9.5 * 3600,
    busy="no",
)
STEP_BACK = Offer(Way.PREVIOUS, NEW, 0)

REFUSED: dict[str, tuple[LineState, str | None]] = {
    "a target is noted, and waits": (LINE, None),
    "a way over the link": (at(Stage.NEW), "metered-link"),
    "the bytes of a way": (at(Stage.CHOSEN, offer=RAW), "metered-link"),
    "decoding": (at(Stage.FETCHED, offer=RAW), "free-disk"),
    "smoke run": (at(Stage.STAGED), "battery"),
    "smoke run that never ends is given up": (at(Stage.STAGED, smoke_runs=2), None),
    "shadow run": (at(Stage.CHECKED), "battery"),
    "activation": (at(Stage.READY), "quiet-hours"),
    "activation that was cut off": (at(Stage.SWITCHING), "quiet-hours"),
    "health": (at(Stage.OBSERVED), None),
    "step back by itself": (at(Stage.STEPPING_BACK, setback=SETBACK), None),
    "way back to previous": (replace(at(Stage.NEW), previous=NEW), None),
    "look at previous": (at(Stage.FETCHED, offer=STEP_BACK), None),
    "activation of previous": (at(Stage.READY, offer=STEP_BACK), "quiet-hours"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_owners_rules_hold_back_what_the_server_wants(name: str) -> None:
    line, rule = REFUSED[name]
    held = frozenset(sha256 for sha256 in (line.current, line.previous) if sha256 is not None)
    action = decide(line, ENTRY, trusted=TRUSTED, policy=STRICT, held=held, now=NOW, seen=WORST)
    assert (action.rule if isinstance(action, Refused) else None) == rule


def test_what_the_server_does_not_want_is_not_held_back() -> None:
    for entry in (None, replace(ENTRY, hold=True), replace(ENTRY, target=None)):
        action = decide(
            at(Stage.CHOSEN, offer=RAW), entry, trusted=TRUSTED, policy=STRICT, held=frozenset(), now=NOW, seen=WORST
        )
        assert isinstance(action, Idle | Abandon)


def test_nothing_is_looked_at_before_something_is_to_be_done() -> None:
    idle = replace(LINE, current=NEW)
    assert decide(idle, ENTRY, trusted=TRUSTED, policy=STRICT, held=frozenset({NEW}), now=NOW) == Idle("up-to-date")
    wanted = decide(at(Stage.CHOSEN, offer=RAW), ENTRY, trusted=TRUSTED, policy=STRICT, held=frozenset(), now=NOW)
    assert wanted == LookAt(frozenset({Look.LINK}))


def test_previous_whose_slot_is_gone_is_fetched() -> None:
    line = replace(at(Stage.NEW), previous=NEW)
    assert decide(line, ENTRY, trusted=TRUSTED, policy=POLICY, held=frozenset({OLD}), now=NOW) == TryOffer(DELTA, None)


def test_retry_delay_doubles_up_to_a_day() -> None:
    delays = [
        retry_delay_s(Failure(NEW, None, "", permanent=False, times=times, at=NOW), POLICY) for times in range(1, 40)
    ]
    assert delays[:3] == [600, 1200, 2400]
    assert max(delays) == 86_400


def test_clock_that_stands_in_the_past_does_not_give_negative_time() -> None:
    assert Instant("boot", 5).since(Instant("boot", 9)) == 0


def told(denied: Denied) -> Refused:
    return Refused(denied.rule, Activity.INSTALL, denied.detail, look_again_s=None)


EXPIRED = replace(TRUSTED, at=WEEK)
ENDED = told(Denied("metadata-expired", "signed metadata ended 2026-01-08T00:00:00Z"))
BAD_NEWS = replace(TRUSTED, news=Denied("metadata-refused", "unsigned: …"))
UNKNOWN = told(Denied("not-signed", f"{NEW} is in no signed metadata of this line"))
LOWER = told(Denied("downgrade", "1.1.0/fp32 is lower than 1.2.0, and not signed as a downgrade"))


def signed(**changes: object) -> Trusted:
    return replace(TRUSTED, verified=replace(SIGNED, targets=(replace(TARGET, **changes),)))  # type: ignore[arg-type]


TRUST: dict[str, tuple[LineState, Entry | None, Trusted, Action]] = {
    "expired with nothing to do is told": (replace(LINE, current=NEW), ENTRY, EXPIRED, ENDED),
    "expired begins nothing": (LINE, ENTRY, EXPIRED, ENDED),
    "expired fetches nothing": (at(Stage.CHOSEN, offer=RAW), ENTRY, EXPIRED, ENDED),
    "expired builds nothing": (at(Stage.FETCHED, offer=RAW), ENTRY, EXPIRED, ENDED),
    "expired tries nothing": (at(Stage.STAGED), ENTRY, EXPIRED, ENDED),
    "expired activates nothing": (at(Stage.READY), ENTRY, EXPIRED, ENDED),
    "expired finishes no switch that did not happen": (at(Stage.SWITCHING), ENTRY, EXPIRED, ENDED),
    "expired lets no server order a step back": (replace(LINE, previous=NEW), ENTRY, EXPIRED, ENDED),
    "expired lets the device judge what it switched to": (at(Stage.OBSERVED), ENTRY, EXPIRED, Observe()),
    "expired lets the device step back by itself": (
        at(Stage.STEPPING_BACK, setback=SETBACK),
        None,
        EXPIRED,
        StepBack(SETBACK),
    ),
    "expired lets go of what is not wanted": (
        at(Stage.CHOSEN),
        replace(ENTRY, target=None),
        EXPIRED,
        Abandon("withdrawn"),
    ),
    "a second before the end is not the end": (
        LINE,
        ENTRY,
        replace(TRUSTED, at=WEEK - timedelta(seconds=1)),
        Begin(TARGET, ROLLOUT),
    ),
    "refused news begin nothing": (LINE, ENTRY, BAD_NEWS, told(Denied("metadata-refused", "unsigned: …"))),
    "refused news are told on hold": (
        LINE,
        replace(ENTRY, hold=True),
        BAD_NEWS,
        told(Denied("metadata-refused", "unsigned: …")),
    ),
    "nothing is signed": (LINE, ENTRY, replace(TRUSTED, verified=None), UNKNOWN),
    "nothing is signed and nothing wanted": (LINE, None, replace(TRUSTED, verified=None), Idle("no-target")),
    "another target is signed": (LINE, ENTRY, signed(sha256=OLDER), UNKNOWN),
    "yanked while it was fetched": (at(Stage.CHOSEN, offer=RAW), ENTRY, signed(sha256=OLDER), UNKNOWN),
    "yanked before it was activated": (at(Stage.READY), ENTRY, signed(sha256=OLDER), UNKNOWN),
    "a yanked previous is no way back": (
        replace(LINE, previous=NEW),
        ENTRY,
        signed(sha256=OLDER),
        UNKNOWN,
    ),
    "signed anew with other words": (at(Stage.STAGED), ENTRY, signed(limits=Limits(1, 1)), Abandon("superseded")),
    "a lower version": (LINE, ENTRY, replace(TRUSTED, installed="1.2.0"), LOWER),
    "a lower version under way": (at(Stage.READY), ENTRY, replace(TRUSTED, installed="1.2.0"), LOWER),
    "a lower version that is previous": (
        replace(at(Stage.NEW), previous=NEW),
        ENTRY,
        replace(TRUSTED, installed="1.2.0"),
        TryOffer(Offer(Way.PREVIOUS, NEW, 0), None),
    ),
    "a lower version that was previous and rotted": (
        at(Stage.NEW, setback=replace(SETBACK, reason="previous-damaged")),
        ENTRY,
        replace(TRUSTED, installed="1.2.0"),
        TryOffer(DELTA, None),
    ),
    "a lower version that is signed as a downgrade": (
        LINE,
        ENTRY,
        replace(signed(downgrade=True), installed="1.2.0"),
        Begin(replace(TARGET, downgrade=True), ROLLOUT),
    ),
    "a lower version than previous, above the version that was stepped back to": (
        replace(LINE, previous=OLDER),
        ENTRY,
        replace(
            TRUSTED,
            verified=replace(SIGNED, targets=(TARGET, replace(TARGET, version="1.2.0", sha256=OLDER))),
            installed="1.0.0",
        ),
        LOWER,
    ),
    "a lower version than a previous that was withdrawn": (
        replace(LINE, previous=OLDER),
        ENTRY,
        replace(TRUSTED, installed="1.0.0"),
        Begin(TARGET, ROLLOUT),
    ),
    "another variant of the version in service": (
        LINE,
        ENTRY,
        replace(TRUSTED, installed="1.1.0"),
        Begin(TARGET, ROLLOUT),
    ),
    "a pre-release of the version in service": (
        LINE,
        ENTRY,
        replace(signed(version="1.1.0-rc.1"), installed="1.1.0"),
        told(Denied("downgrade", "1.1.0-rc.1/fp32 is lower than 1.1.0, and not signed as a downgrade")),
    ),
    "a version that cannot be compared": (
        LINE,
        ENTRY,
        replace(signed(version="newest"), installed="1.1.0"),
        told(Denied("downgrade", "newest/fp32 is lower than 1.1.0, and not signed as a downgrade")),
    ),
    "for another device class": (
        LINE,
        ENTRY,
        signed(device_classes=("pi3", "pi4")),
        told(Denied("device-class", "1.1.0/fp32 is signed for pi3, pi4, this device is a pi5")),
    ),
    "for this device class": (
        LINE,
        ENTRY,
        signed(device_classes=("pi4", "pi5")),
        Begin(replace(TARGET, device_classes=("pi4", "pi5")), ROLLOUT),
    ),
    "larger than this device takes": (
        LINE,
        ENTRY,
        signed(size_bytes=1001),
        told(Denied("too-large", "1.1.0/fp32 has 1001 bytes, this device takes at most 1000")),
    ),
    "a raw way of another size than the signed one": (
        at(Stage.NEW, failed_offers=(DELTA.sha256, PACKED.sha256)),
        replace(ENTRY, ways=(replace(RAW, size_bytes=901),)),
        TRUSTED,
        GiveUp(Setback("download", "no-way", "none of 1 ways can be gone here"), permanent=True),
    ),
}


@pytest.mark.parametrize("name", TRUST)
def test_nothing_is_begun_or_finished_without_trust(name: str) -> None:
    line, wanted, trusted, action = TRUST[name]
    held = frozenset(sha256 for sha256 in (line.current, line.previous) if sha256 is not None)
    assert decide(line, wanted, trusted=trusted, policy=POLICY, held=held, now=NOW) == action


def test_same_bytes_in_two_versions_are_taken_for_the_one_that_is_meant() -> None:
    twice = (TARGET, replace(TARGET, version="1.2.0"))
    trusted = replace(TRUSTED, verified=replace(SIGNED, targets=twice))
    for path, expected in (("1.1.0/fp32", twice[0]), ("1.2.0/fp32", twice[1]), ("none", twice[1])):
        action = decide(
            LINE, replace(ENTRY, target=Wanted(NEW, path)), trusted=trusted, policy=POLICY, held=frozenset(), now=NOW
        )
        assert action == Begin(expected, ROLLOUT)
