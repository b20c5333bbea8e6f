"""What the device's owner allows: the rules of `[policy]`, and which of the agent's activities each of them holds back.

Each rule is a pure function of the configuration and of what was seen of the machine; `agent/conditions.py` looks. A rule
that is not configured asks for nothing. Nothing that comes from the server can loosen a rule: it is not even an argument.
What holds back nothing: polls, events and reports (a few hundred bytes), the step back that a failed health check takes by
itself, and the zero-byte way to the previous model, whose activation alone is an activity.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from agent.conditions import Conditions, Look
from agent.config import Policy
from agent.hours import DAY_S

# Looking costs a few reads of /sys, so a rule that may change at any moment is looked at again soon. One that changes with
# the clock is looked at when it should, but at least this often, since somebody may set the clock.
LOOK_AGAIN_S = 60.0
LOOK_AT_CLOCK_S = 900.0
# A download under rules comes in requests of at most this size, each asked for anew: a night that ends, or a link that
# becomes metered, stops it after one of them.
SLICE_BYTES = 1 << 20
# Left of a budget for the head of an answer; with less than twice this nothing is asked for.
HEAD_BYTES = 2048
MB = 1_000_000
MAX_DETAIL = 200


class Activity(StrEnum):
    """What a rule can hold back."""

    DOWNLOAD = "download"  # contract, sample set, model or patch over the link
    APPLY = "apply"  # decoding the patch, building the slot
    TRY = "try"  # smoke run and shadow run of the staged model
    ACTIVATE = "activate"  # the switch of `current`, and with it all hooks
    BENCHMARK = "benchmark"  # the ruler after an activation
    INSTALL = "install"  # all of it: what signed metadata does not allow


@dataclass(frozen=True, slots=True)
class LookAt:
    """A rule needs to know more of the machine before it can be judged."""

    looks: frozenset[Look]


@dataclass(frozen=True, slots=True)
class Refused:
    """A rule of the owner, or of trust, holds an activity back, which needs so much of the disk.

    `detail` stays the same as long as the rule does. It may be worth asking the rule again in `look_again_s`; where that is
    `None`, with the next poll.
    """

    rule: str
    activity: Activity
    detail: str
    look_again_s: float | None = LOOK_AGAIN_S
    needs_bytes: int = 0


# Why a rule refuses and when it may be worth looking again; None when it does not.
Verdict = tuple[str, float] | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table below."""

    slug: str
    holds: frozenset[Activity]
    is_set: Callable[[Policy], bool]
    looks: frozenset[Look]
    judge: Callable[[Policy, Conditions], Verdict]


def metered_link(policy: Policy, seen: Conditions) -> Verdict:
    """Nothing over a metered link."""
    return ('the link is metered and metered_downloads is "never"', LOOK_AGAIN_S) if seen.is_metered else None


def metered_night(policy: Policy, seen: Conditions) -> Verdict:
    """Over a metered link only at night. Without a clock that can be believed there is no night to wait for."""
    at_s = seen.time_of_day_s
    if not seen.is_metered or at_s is None or policy.night.contain(at_s):
        return None
    return f"the link is metered and it is not night ({policy.night})", _at_clock_s(policy.night.starts_in_s(at_s))


def metered_budget(policy: Policy, seen: Conditions) -> Verdict:
    """At most so many bytes a day over metered links."""
    if not seen.is_metered or _left_bytes(policy.metered_mb_per_day, seen.metered_today_bytes) >= 2 * HEAD_BYTES:
        return None
    return f"{policy.metered_mb_per_day:g} MB of today are spent on metered links", _until_tomorrow_s(seen)


def day_budget(policy: Policy, seen: Conditions) -> Verdict:
    """At most so many bytes a day over any link."""
    if _left_bytes(policy.mb_per_day, seen.today_bytes) >= 2 * HEAD_BYTES:
        return None
    return f"{policy.mb_per_day:g} MB of today are spent", _until_tomorrow_s(seen)


def free_disk(policy: Policy, seen: Conditions) -> Verdict:
    """So much of the disk stays free, when the step is done."""
    if seen.free_bytes is None or seen.free_bytes - seen.needs_bytes >= policy.free_disk_mb * MB:
        return None
    return f"less than {policy.free_disk_mb:g} MB of the disk would stay free", LOOK_AGAIN_S


def battery(policy: Policy, seen: Conditions) -> Verdict:
    """Not while a battery runs down below the floor."""
    if seen.battery_percent is None or seen.battery_percent >= policy.battery_percent:
        return None
    return f"on battery below {policy.battery_percent:g} %", LOOK_AGAIN_S


def temperature(policy: Policy, seen: Conditions) -> Verdict:
    """Not above this temperature of the hottest sensor."""
    highest = policy.max_temperature_c
    if highest is None or seen.temperature_c is None or seen.temperature_c <= highest:
        return None
    return f"hotter than {highest:g} °C", LOOK_AGAIN_S


def quiet_hours(policy: Policy, seen: Conditions) -> Verdict:
    """The model in use is not changed, nor measured, in these hours. Without a clock that can be believed there are none."""
    at_s = seen.time_of_day_s
    if at_s is None:
        return None
    now = next((hours for hours in policy.quiet_hours if hours.contain(at_s)), None)
    return None if now is None else (f"quiet hours are {now}", _at_clock_s(now.end_in_s(at_s)))


def busy(policy: Policy, seen: Conditions) -> Verdict:
    """The owner's own executable says "not now", or says nothing in its time."""
    return None if seen.busy is None else (seen.busy, LOOK_AGAIN_S)


_A = Activity
_ANY_CPU = frozenset({_A.APPLY, _A.TRY, _A.BENCHMARK})

# Which rule holds back which activity. Judged from the top, so the owner's executable is asked only when all else allows.
RULES: tuple[Rule, ...] = (
    Rule(
        "metered-link",
        frozenset({_A.DOWNLOAD}),
        lambda policy: policy.metered is not False and policy.metered_downloads == "never",
        frozenset({Look.LINK}),
        metered_link,
    ),
    Rule(
        "metered-night",
        frozenset({_A.DOWNLOAD}),
        lambda policy: policy.metered is not False and policy.metered_downloads == "night",
        frozenset({Look.LINK, Look.CLOCK}),
        metered_night,
    ),
    Rule(
        "metered-budget",
        frozenset({_A.DOWNLOAD}),
        lambda policy: policy.metered is not False and policy.metered_mb_per_day is not None,
        frozenset({Look.LINK, Look.DAY, Look.CLOCK}),
        metered_budget,
    ),
    Rule(
        "day-budget",
        frozenset({_A.DOWNLOAD}),
        lambda policy: policy.mb_per_day is not None,
        frozenset({Look.DAY, Look.CLOCK}),
        day_budget,
    ),
    Rule(
        "free-disk",
        frozenset({_A.DOWNLOAD, _A.APPLY}),
        lambda policy: policy.free_disk_mb > 0,
        frozenset({Look.DISK}),
        free_disk,
    ),
    Rule(
        "battery",
        _ANY_CPU | {_A.DOWNLOAD},
        lambda policy: policy.battery_percent > 0,
        frozenset({Look.BATTERY}),
        battery,
    ),
    Rule(
        "temperature",
        _ANY_CPU,
        lambda policy: policy.max_temperature_c is not None,
        frozenset({Look.TEMPERATURE}),
        temperature,
    ),
    Rule(
        "quiet-hours",
        frozenset({_A.ACTIVATE, _A.BENCHMARK}),
        lambda policy: bool(policy.quiet_hours),
        frozenset({Look.CLOCK}),
        quiet_hours,
    ),
    Rule(
        "busy",
        _ANY_CPU | {_A.ACTIVATE},
        lambda policy: bool(policy.busy_hook),
        frozenset({Look.HOOK}),
        busy,
    ),
)


def rules_for(activity: Activity, policy: Policy) -> tuple[Rule, ...]:
    """The rules in force that can hold an activity back."""
    return tuple(rule for rule in RULES if activity in rule.holds and rule.is_set(policy))


def permit(activity: Activity, policy: Policy, seen: Conditions) -> LookAt | Refused | None:
    """Judge an activity by the rules in force: what has to be looked at first, or which rule refuses, or `None`."""
    for rule in rules_for(activity, policy):
        if rule.looks - seen.looked:
            return LookAt(rule.looks - seen.looked)
        verdict = rule.judge(policy, seen)
        if verdict is not None:
            why, look_again_s = verdict
            return Refused(rule.slug, activity, waits(activity, why), look_again_s, seen.needs_bytes)
    return None


def waits(activity: Activity, why: str) -> str:
    """The detail of a refusal, as long as the wire takes it."""
    return f"{activity} waits: {why}"[:MAX_DETAIL]


def grant_bytes(policy: Policy, seen: Conditions, wanted_bytes: int) -> int:
    """How much of a permitted download may be asked for in one request: all of it, where no rule could stop it."""
    if not rules_for(Activity.DOWNLOAD, policy):
        return wanted_bytes
    left = [_left_bytes(policy.mb_per_day, seen.today_bytes)]
    if seen.is_metered:
        left.append(_left_bytes(policy.metered_mb_per_day, seen.metered_today_bytes))
    return int(min(wanted_bytes, SLICE_BYTES, min(left) - HEAD_BYTES))


def without_link_rules(policy: Policy) -> Policy:
    """For an installation from a file: no byte of it goes over a link."""
    return replace(policy, metered=False, mb_per_day=None)


def without_rules(policy: Policy) -> Policy:
    """For an owner who stands beside the device and says so."""
    return Policy(max_delta_wait_s=policy.max_delta_wait_s, retry_failed_s=policy.retry_failed_s)


def _left_bytes(mb_per_day: float | None, spent_bytes: int) -> float:
    return math.inf if mb_per_day is None else mb_per_day * MB - spent_bytes


def _at_clock_s(wait_s: float) -> float:
    return min(wait_s, LOOK_AT_CLOCK_S)


def _until_tomorrow_s(seen: Conditions) -> float:
    return LOOK_AT_CLOCK_S if seen.time_of_day_s is None else _at_clock_s(DAY_S - seen.time_of_day_s)
