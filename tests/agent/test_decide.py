"""The rules of the agent, one row each."""

from dataclasses import replace

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
from agent.policy import LookAt, Refused
from agent.state import Failure, LineState, Pending, Setback, Stage
from agent.wire import Blob, Entry, Offer, Target, Tolerances, Way

NOW = Instant("boot", 1000.0)
ROLLOUT = "11111111-1111-1111-1111-111111111111"
NEW, OLD, OLDER = "a" * 64, "b" * 64, "c" * 64
TARGET = Target("1.1.0", "fp32", NEW, 900, Blob("d" * 64, 10), None, Tolerances())
DELTA = Offer(Way.DELTA, "1" * 64, 60, base=OLD, format=1)
PACKED = Offer(Way.PACKED, "2" * 64, 700, format=1)
RAW = Offer(Way.RAW, NEW, 900)
ENTRY = Entry("digits", hold=False, rollout=ROLLOUT, target=TARGET, ways=(DELTA, PACKED, RAW), wait_for_delta_s=600)
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
    assert decide(line, wanted, policy=POLICY, held=held, now=NOW) == action


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
    action = decide(line, ENTRY, policy=STRICT, held=held, now=NOW, seen=WORST)
    assert (action.rule if isinstance(action, Refused) else None) == rule


def test_what_the_server_does_not_want_is_not_held_back() -> None:
    for entry in (None, replace(ENTRY, hold=True), replace(ENTRY, target=None)):
        action = decide(at(Stage.CHOSEN, offer=RAW), entry, policy=STRICT, held=frozenset(), now=NOW, seen=WORST)
        assert isinstance(action, Idle | Abandon)


def test_nothing_is_looked_at_before_something_is_to_be_done() -> None:
    idle = replace(LINE, current=NEW)
    assert decide(idle, ENTRY, policy=STRICT, held=frozenset({NEW}), now=NOW) == Idle("up-to-date")
    wanted = decide(at(Stage.CHOSEN, offer=RAW), ENTRY, policy=STRICT, held=frozenset(), now=NOW)
    assert wanted == LookAt(frozenset({Look.LINK}))


def test_previous_whose_slot_is_gone_is_fetched() -> None:
    line = replace(at(Stage.NEW), previous=NEW)
    assert decide(line, ENTRY, policy=POLICY, held=frozenset({OLD}), now=NOW) == TryOffer(DELTA, None)


def test_retry_delay_doubles_up_to_a_day() -> None:
    delays = [
        retry_delay_s(Failure(NEW, None, "", permanent=False, times=times, at=NOW), POLICY) for times in range(1, 40)
    ]
    assert delays[:3] == [600, 1200, 2400]
    assert max(delays) == 86_400


def test_clock_that_stands_in_the_past_does_not_give_negative_time() -> None:
    assert Instant("boot", 5).since(Instant("boot", 9)) == 0
