"""One model line of a virtual device: the agent's decisions, carried out on digests.

What `agent/attempt.py` and `agent/activation.py` do with files and children, this does with sets and seconds; what is decided, what is
written down and how it is numbered is the agent's own. `tests/client/simulate` holds the two together.
"""

import uuid
from dataclasses import dataclass, replace

from agent import decide as decisions
from agent.attempt import STAGE_NAMES
from agent.config import Config
from agent.connection import Counted
from agent.decide import Action, Idle, WaitForDelta, decide
from agent.errors import RequestRefused, TransferRejected, Unauthenticated
from agent.fetching import CONTRACT, SAMPLE_SET, NotGiven
from agent.policy import Activity, LookAt, Refused
from agent.record import Event, Record
from agent.state import UNASKED, DueBenchmark, Pending, Setback, Stage
from agent.wire import Blob, Entry, Way
from client.simulate.clock import VirtualClock
from client.simulate.disk import Disk
from client.simulate.fetching import LinkSource
from client.simulate.trust import VirtualGuard

# What the steps after the download take on a small board; a patch is decoded at about this rate there.
APPLIED_BYTES_PER_S = 5_000_000
SMOKE_S = 2.0
HEALTH_S = 30.0


@dataclass(frozen=True, slots=True)
class Fate:
    """What goes wrong on this device, whatever it installs."""

    patches_fail: bool = False
    smoke_fails: bool = False
    is_unhealthy: bool = False


@dataclass(slots=True)
class VirtualLine:
    """One line at work, for one cycle, as `agent.attempt.Line` is."""

    config: Config
    clock: VirtualClock
    record: Record
    source: LinkSource
    disk: Disk
    fate: Fate
    trust: VirtualGuard

    @property
    def model(self) -> str:
        return self.record.model

    def finish_switch(self) -> None:
        """A virtual device loses no power, so nothing is half switched."""

    def step(self, entry: Entry | None) -> Action:
        """Decide once and carry it out; returns what was decided.

        Raises:
            ServerUnavailable, Unauthenticated: the attempt goes on later.
        """
        held, now = self.disk.models, self.clock.now()
        trusted = self.trust.view(self.record)
        action = decide(self.record.state, entry, trusted=trusted, policy=self.config.policy, held=held, now=now)
        if isinstance(action, Refused) and action.activity is Activity.INSTALL:
            self.record.note_refusal(action)
            return action
        if isinstance(action, LookAt | Refused | decisions.Shadow):
            # A defect, and no wrong type of an argument.
            raise RuntimeError(  # noqa: TRY004
                f"a virtual device has no rules of an owner and no shadow run: {action}"
            )
        self.record.note_refusal(None)
        self._carry_out(action)
        return action

    def _carry_out(self, action: Action) -> None:
        record = self.record
        match action:
            case decisions.Begin(target, rollout):
                record.advance(Pending(str(uuid.uuid4()), rollout, target, self.clock.now()))
            case decisions.Abandon(reason):
                stage = STAGE_NAMES[record.pending.stage]
                record.abandon(Setback(stage, reason, "the server wants otherwise"))
            case decisions.TryOffer(offer, instead_of):
                self.record.take_offer(offer, instead_of)
            case decisions.Fetch():
                self._fetch()
            case decisions.Apply():
                self._apply()
            case decisions.Smoke():
                self._smoke()
            case decisions.Activate():
                self._activate()
            case decisions.Observe():
                self._observe()
            case decisions.StepBack(setback):
                record.roll_back(setback, current=record.pending.replaces, permanent=True)
            case decisions.GiveUp(setback, permanent):
                record.give_up(setback, permanent=permanent)
            case Idle() | WaitForDelta():
                pass

    def _fetch(self) -> None:
        target, offer = self.record.pending.target, self.record.offer
        try:
            self._bring_companion(target.contract, CONTRACT)
            if target.sample_set is not None:
                self._bring_companion(target.sample_set, SAMPLE_SET)
        except NotGiven as refused:
            self.record.give_up(refused.setback, permanent=True)
            return
        try:
            self._bring(Blob(offer.sha256, offer.size_bytes), offer.way)
        except NotGiven as refused:
            self.record.fail_offer(refused.setback)
            return
        self.record.advance(replace(self.record.pending, stage=Stage.FETCHED))

    def _bring_companion(self, blob: Blob, way: str) -> None:
        if blob.sha256 not in self.disk.companions:
            self._bring(blob, way)
            self.disk.companions.add(blob.sha256)

    def _bring(self, blob: Blob, way: str) -> None:
        """Fetch one artifact and tell what it cost, whatever came of it."""
        before, began_s = self.source.counted(), self.clock.at_s
        try:
            self.source.fetch(blob, attempt=self.record.pending.attempt)
        except (RequestRefused, TransferRejected) as error:
            if isinstance(error, Unauthenticated):
                raise
            reason = error.problem if isinstance(error, RequestRefused) else error.reason
            raise NotGiven(Setback("download", reason, str(error))) from error
        finally:
            spent = self.source.counted() - before
            if spent.requests:
                self.record.advance(self.record.pending, self._transferred(blob, way, spent, began_s))

    def _transferred(self, blob: Blob, way: str, spent: Counted, began_s: float) -> Event:
        return "transferred", {
            "artifact": blob.sha256,
            "way": way,
            "bytes_received": spent.received,
            "bytes_sent": spent.sent,
            "complete": blob.sha256 in self.disk.downloads,
            "requests": spent.requests,
            "duration_s": round(self.clock.at_s - began_s, 3),
        }

    def _apply(self) -> None:
        pending, offer = self.record.pending, self.record.offer
        if offer.way is Way.PREVIOUS:
            self.record.advance(replace(pending, stage=Stage.READY))
            return
        seconds = pending.target.size_bytes / APPLIED_BYTES_PER_S
        self.clock.advance(seconds)
        if self.fate.patches_fail and offer.way is not Way.RAW:
            self.record.fail_offer(
                Setback("apply", "decoder-crashed", "simulated: no patch can be applied on this device")
            )
            return
        self.disk.models.add(pending.target.sha256)
        detail = {"way": offer.way, "duration_s": round(seconds, 3), "peak_memory_bytes": None}
        self.record.advance(replace(pending, stage=Stage.STAGED), ("applied", detail))

    def _smoke(self) -> None:
        """No sample is run, so none is told of."""
        self.record.advance(replace(self.record.pending, smoke_runs=self.record.pending.smoke_runs + 1))
        self.clock.advance(SMOKE_S)
        if self.fate.smoke_fails:
            setback = Setback("smoke", "golden-outputs", "simulated: this device fails its smoke runs")
            self.record.give_up(setback, permanent=True)
            return
        detail = {"samples": 0, "max_abs_error": None, "agreement": None}
        self.record.advance(replace(self.record.pending, stage=Stage.READY), ("smoke_passed", detail))

    def _activate(self) -> None:
        """Switched and judged in one go, as on a device."""
        line, pending = self.record.state, self.record.pending
        replaces = line.previous if line.current == pending.target.sha256 else line.current
        observed = replace(pending, stage=Stage.OBSERVED, replaces=replaces)
        self.record.commit(replace(line, current=pending.target.sha256, pending=observed))
        self.disk.switched_s = self.clock.at_s
        while (left := self.record.state.pending) is not None and left.stage in UNASKED:
            self.step(None)

    def _observe(self) -> None:
        line, pending = self.record.state, self.record.pending
        target, is_step_back = pending.target.sha256, self.record.offer.way is Way.PREVIOUS
        self.clock.advance(HEALTH_S)
        if self.fate.is_unhealthy and not is_step_back:
            setback = Setback("health", "failed", "simulated: this device is not healthy with a new model")
            self.record.advance(replace(pending, stage=Stage.STEPPING_BACK, setback=setback))
            return
        is_measured = self.config.bench.enabled and not is_step_back
        line = replace(
            line,
            current=target,
            previous=pending.replaces,
            pending=None,
            failures=tuple(one for one in line.failures if one.sha256 != target),
            benchmark=DueBenchmark(target, pending.attempt) if is_measured else None,
        )
        self.record.commit(line, ("activated", {"previous": pending.replaces}))
