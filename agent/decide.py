"""What to do next with one model line: a pure function of state, poll answer, signed metadata, policy, what was seen of the machine, and clock.

`decide` never acts; `agent/attempt.py` carries out what it returns and asks again until the answer is `Idle`, `WaitForDelta`
or `Refused`. So every rule of the agent can be read, and tested, as a row of a table. The rules of the device's owner are in
`agent/policy.py`; a rule that needs to see more of the machine first makes the answer a `LookAt`. The rules of trust are in
`agent/trust/rules.py` and come first: they are judged anew before every step of an attempt, up to the activation.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from agent.clock import Instant
from agent.conditions import Conditions
from agent.config import Policy
from agent.policy import MAX_DETAIL, Activity, LookAt, Refused, permit
from agent.state import UNASKED, Failure, LineState, Pending, Setback, Stage
from agent.trust.rules import Denied, Trusted, concern, judge
from agent.wire import Entry, Offer, Target, Way

MAX_SMOKE_RUNS = 2
MAX_SHADOW_RUNS = 2
MAX_HEALTH_RUNS = 3
MAX_RETRY_DELAY_S = 86_400.0
PREVIOUS_DAMAGED = "previous-damaged"


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do; `reason` is for `status` and the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class WaitForDelta:
    """A smaller way is being built; look again after this long."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Begin:
    """Give a new target an attempt of its own."""

    target: Target
    rollout: str | None


@dataclass(frozen=True, slots=True)
class Abandon:
    """The server wants something else now: close the attempt."""

    reason: str


@dataclass(frozen=True, slots=True)
class TryOffer:
    """Take this way; `instead_of` is the one that failed before it."""

    offer: Offer
    instead_of: Way | None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get all bytes that the chosen way needs."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Build the target's slot from the fetched bytes."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """Run the staged model on its sample set."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """Run the staged model beside the current one on the same inputs."""


@dataclass(frozen=True, slots=True)
class Activate:
    """Point `current` to the target."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Ask whether the model that is current since the switch is healthy."""


@dataclass(frozen=True, slots=True)
class StepBack:
    """Point `current` back to what it was before the switch."""

    setback: Setback


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The attempt cannot succeed."""

    setback: Setback
    permanent: bool


Action = (
    Idle
    | WaitForDelta
    | Begin
    | Abandon
    | TryOffer
    | Fetch
    | Apply
    | Smoke
    | Shadow
    | Activate
    | Observe
    | StepBack
    | GiveUp
    | Refused
)

NOTHING_SEEN = Conditions()


def decide(
    line: LineState,
    entry: Entry | None,
    *,
    trusted: Trusted,
    policy: Policy,
    held: AbstractSet[str],
    now: Instant,
    seen: Conditions = NOTHING_SEEN,
) -> Action | LookAt:
    """Choose the next action for one line, or say what has to be looked at for that.

    Args:
        line: what this device has and is doing.
        entry: what the server wants; `None` when it says nothing about this line.
        trusted: what signed metadata says of this line.
        policy: what the device's owner allows.
        held: digests of the models in complete slots, of any line: possible bases.
        now: the moment of the decision.
        seen: what was seen of the machine so far.
    """
    action = _wanted(line, entry, trusted=trusted, policy=policy, held=held, now=now)
    activity = _activity(action, line.pending)
    return action if activity is None else permit(activity, policy, seen) or action


def _activity(action: Action, pending: Pending | None) -> Activity | None:
    """What an action is to the owner's rules; nothing where it only writes something down, or makes the device safe again.

    The step back to the previous model fetches and builds nothing, so only its activation is an activity.
    """
    match action:
        case TryOffer(offer):
            return None if offer.way is Way.PREVIOUS else Activity.DOWNLOAD
        case Fetch():
            return Activity.DOWNLOAD
        case Apply() if pending is not None and pending.offer is not None and pending.offer.way is not Way.PREVIOUS:
            return Activity.APPLY
        case Smoke() | Shadow():
            return Activity.TRY
        case Activate():
            return Activity.ACTIVATE
        case _:
            return None


def _wanted(
    line: LineState, entry: Entry | None, *, trusted: Trusted, policy: Policy, held: AbstractSet[str], now: Instant
) -> Action:
    """What the server wants, and metadata and state allow."""
    if line.pending is not None and line.pending.stage in UNASKED:
        return _judge(line.pending)
    if entry is None or entry.target is None:
        return _at_rest("no-target", trusted) if line.pending is None else Abandon("withdrawn")
    if entry.hold:
        return _at_rest("on-hold", trusted)
    if line.pending is not None and (line.pending.target.sha256, line.pending.rollout) != (
        entry.target.sha256,
        entry.rollout,
    ):
        return Abandon("superseded")
    if line.pending is None and entry.target.sha256 == line.current:
        return _at_rest("up-to-date", trusted)
    target = judge(trusted, entry.target, previous=_way_back(line))
    if isinstance(target, Denied):
        return _denied(target)
    if line.pending is None:
        return _consider(line, entry, target, policy=policy, now=now)
    if line.pending.target != target:  # the same bytes, signed with other words since
        return Abandon("superseded")
    return _continue(line, line.pending, entry, policy=policy, held=held, now=now)


def _way_back(line: LineState) -> str | None:
    """What a step back leads to: the previous model, also while its file, found damaged on the way there, is fetched anew."""
    pending = line.pending
    is_mending = pending is not None and pending.setback is not None and pending.setback.reason == PREVIOUS_DAMAGED
    return pending.target.sha256 if pending is not None and is_mending else line.previous


def _at_rest(reason: str, trusted: Trusted) -> Idle | Refused:
    """Nothing to do; metadata that has expired, or was refused, is told of all the same."""
    worry = concern(trusted)
    return Idle(reason) if worry is None else _denied(worry)


def _denied(denied: Denied) -> Refused:
    """Asked again with the next poll: no look at this machine can change it."""
    return Refused(denied.rule, Activity.INSTALL, denied.detail[:MAX_DETAIL], look_again_s=None)


def retry_delay_s(failure: Failure, policy: Policy) -> float:
    """How long a failure that is not permanent blocks its target: doubling, at most a day."""
    return min(MAX_RETRY_DELAY_S, policy.retry_failed_s * 2.0 ** min(failure.times - 1, 16))


def _consider(line: LineState, entry: Entry, target: Target, *, policy: Policy, now: Instant) -> Action:
    failure = line.failure_of(target.sha256, entry.rollout)
    if failure is not None and failure.permanent:
        return Idle(f"failed-for-good: {failure.reason}")
    if failure is not None and now.since(failure.at) < retry_delay_s(failure, policy):
        return Idle(f"failed-lately: {failure.reason}")
    return Begin(target, entry.rollout)


def _continue(
    line: LineState, pending: Pending, entry: Entry, *, policy: Policy, held: AbstractSet[str], now: Instant
) -> Action:
    match pending.stage:
        case Stage.NEW:
            return _choose(line, pending, entry, policy=policy, held=held, now=now)
        case Stage.CHOSEN:
            return Fetch()
        case Stage.FETCHED:
            return Apply()
        case Stage.STAGED if pending.smoke_runs >= MAX_SMOKE_RUNS:
            unfinished = Setback("smoke", "smoke-unfinished", f"{pending.smoke_runs} smoke runs never came to an end")
            return GiveUp(unfinished, permanent=True)
        case Stage.STAGED:
            return Smoke()
        case Stage.CHECKED if pending.shadow_runs >= MAX_SHADOW_RUNS:
            unfinished = Setback(
                "shadow", "shadow-unfinished", f"{pending.shadow_runs} shadow runs never came to an end"
            )
            return GiveUp(unfinished, permanent=True)
        case Stage.CHECKED:
            return Shadow()
        case Stage.READY | Stage.SWITCHING:
            return Activate()
        case Stage.OBSERVED | Stage.STEPPING_BACK:
            return _judge(pending)


def _judge(pending: Pending) -> Action:
    """After the switch: a model that takes the machine down before its health is known is not kept."""
    if pending.stage is Stage.STEPPING_BACK and pending.setback is not None:
        return StepBack(pending.setback)
    if pending.health_runs >= MAX_HEALTH_RUNS:
        runs = f"{pending.health_runs} health checks never came to an end"
        return StepBack(Setback("health", "health-unfinished", runs))
    return Observe()


def _choose(
    line: LineState, pending: Pending, entry: Entry, *, policy: Policy, held: AbstractSet[str], now: Instant
) -> Action:
    target = pending.target
    if target.sha256 == line.previous and target.sha256 in held:
        return TryOffer(Offer(Way.PREVIOUS, target.sha256, 0), None)
    instead_of = None if pending.offer is None else pending.offer.way
    if entry.delta_pending and instead_of is None:
        wait_s = min(entry.wait_for_delta_s, policy.max_delta_wait_s) - now.since(pending.since)
        if wait_s > 0:
            return WaitForDelta(wait_s)
    for offer in _goable(entry.ways, target):
        base_is_here = offer.base is None or offer.base in held
        if base_is_here and offer.sha256 not in pending.failed_offers:
            return TryOffer(offer, instead_of)
    if pending.setback is not None:
        return GiveUp(pending.setback, permanent=True)
    return GiveUp(Setback("download", "no-way", f"none of {len(entry.ways)} ways can be gone here"), permanent=True)


def _goable(ways: tuple[Offer, ...], target: Target) -> tuple[Offer, ...]:
    """The ways without a raw one of another size than the signed one, whose bytes would be paid for in vain."""
    return tuple(offer for offer in ways if offer.way is not Way.RAW or offer.size_bytes == target.size_bytes)
