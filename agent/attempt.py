"""Carrying out one line's decisions, each ended by one commit that holds the new state and its events.

If power fails inside a step, the step is done again at the next start, with the same attempt id and the next free event
number: nothing here has an effect that a repetition would double, except bytes on the link, and those resume.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self, cast

from agent import decide as decisions
from agent import slots, soundness
from agent.activation import Activation
from agent.clock import Clock
from agent.conditions import Conditions
from agent.config import Config
from agent.decide import PREVIOUS_DAMAGED, Action, Idle, WaitForDelta, decide
from agent.download import Paused
from agent.errors import DISK_ERRNOS, ApplyFailed, DiskRefused, ShadowFailed, SmokeFailed
from agent.fetching import Fetching, NotGiven
from agent.gate import Gate
from agent.ids import new_id
from agent.keeping import Keeper
from agent.layout import CONTRACT_FILE, MODEL_FILE, Layout
from agent.policy import Activity, LookAt, Refused, waits
from agent.record import Event, Record
from agent.source import Source
from agent.state import UNASKED, Pending, Setback, Stage
from agent.trust.guard import Guards
from agent.wire import Entry, Offer, Target, Way

# What a failed step is called in the `failed` event, by how far the attempt had come.
STAGE_NAMES = {
    Stage.NEW: "download",
    Stage.CHOSEN: "download",
    Stage.FETCHED: "apply",
    Stage.STAGED: "smoke",
    Stage.CHECKED: "shadow",
    Stage.READY: "activate",
    Stage.SWITCHING: "activate",
    Stage.OBSERVED: "health",
    Stage.STEPPING_BACK: "health",
}

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Line:
    """One model line at work, for one cycle."""

    config: Config
    layout: Layout
    clock: Clock
    record: Record
    fetching: Fetching
    activation: Activation
    gate: Gate
    guard: Guards

    @classmethod
    def open(
        cls,
        model: str,
        *,
        config: Config,
        layout: Layout,
        store: Keeper,
        clock: Clock,
        source: Source,
        gate: Gate,
        guard: Guards,
    ) -> Self:
        """Take up a line where its state says it is."""
        record = Record(model, store, clock)
        fetching = Fetching(record, layout, source, config.models)
        return cls(config, layout, clock, record, fetching, Activation(config, layout.line(model), record), gate, guard)

    @property
    def model(self) -> str:
        return self.record.model

    def step(self, entry: Entry | None) -> Action:
        """Decide once and carry it out, unless the owner's rules refuse; returns what was decided, or why it has to wait.

        Raises:
            ServerUnavailable: the link failed; the attempt goes on later.
            Unauthenticated: so does it, should the device be let in again.
            DiskRefused: not even the failure could be written down.
        """
        held = slots.held_models(self.layout, self.config.models) - {self.record.state.damaged}
        now, trusted = self.clock.now(), self.guard.view(self.record, installed=self._installed())

        def decided(seen: Conditions) -> Action | LookAt:
            return decide(
                self.record.state, entry, trusted=trusted, policy=self.gate.policy, held=held, now=now, seen=seen
            )

        action = cast(Action, self.gate.resolve(decided, needs_bytes=self._needs_bytes))
        log.debug("decided", extra={"model": self.model, "action": type(action).__name__})
        with self._failures_of_the_disk():
            # An activation may yet be refused, again for the same reason: that is not written down anew each time it is asked.
            if not isinstance(action, decisions.Activate):
                self.record.note_refusal(action if isinstance(action, Refused) else None)
            refused = self._carry_out(action)
            if refused is not None or isinstance(action, decisions.Activate):
                self.record.note_refusal(refused)
            return refused or action

    def _installed(self) -> str | None:
        """The version of the model in service, by its manifest; one that cannot be read says nothing."""
        served = self.record.state.current or self.record.state.damaged
        return None if served is None else slots.version_of(self.layout.line(self.model), served)

    def _needs_bytes(self) -> int:
        """What the step at hand takes of the disk, as far as a way is chosen."""
        pending = self.record.state.pending
        return 0 if pending is None or pending.offer is None else self.fetching.needed_bytes()

    def finish_switch(self) -> None:
        """Bring an activation whose link was replaced to its end, and look after the slots: that needs nobody's word."""
        pending = self.record.state.pending
        if pending is not None and pending.stage is Stage.SWITCHING and self.activation.is_switched:
            with self._failures_of_the_disk():
                self.activation.go_on()
        self._finish()
        try:
            soundness.examine(self.record, self.layout.line(self.model))
        except OSError as error:
            # A disk that is full must not keep the device from hearing the server: another cycle looks again.
            if error.errno not in DISK_ERRNOS:
                raise
            log.warning("not_examined", extra={"model": self.model, "why": str(error)})
        self._finish()

    def _finish(self) -> None:
        while (pending := self.record.state.pending) is not None and pending.stage in UNASKED:
            self.step(None)

    def _carry_out(self, action: Action) -> Refused | None:
        """Do it; what refused it halfway, if something did."""
        match action:
            case decisions.Begin(target, rollout):
                self._begin(target, rollout)
            case decisions.Abandon(reason):
                stage = STAGE_NAMES[self.record.pending.stage]
                self.record.abandon(Setback(stage, reason, "another target is wanted"))
            case decisions.TryOffer(offer, instead_of):
                self.record.take_offer(offer, instead_of)
            case decisions.Fetch():
                return self._fetch()
            case decisions.Apply():
                self._apply()
            case decisions.Smoke():
                self._smoke()
            case decisions.Shadow():
                self._shadow()
            case decisions.Activate() | decisions.Observe() | decisions.StepBack():
                return self._bring_to_use(action)
            case decisions.GiveUp(setback, permanent):
                self.record.give_up(setback, permanent=permanent)
            case Idle() | WaitForDelta() | Refused():
                pass
        return None

    def _bring_to_use(self, action: decisions.Activate | decisions.Observe | decisions.StepBack) -> Refused | None:
        match action:
            case decisions.Activate():
                return self._activate()
            case decisions.Observe():
                self.activation.observe()
            case decisions.StepBack(setback):
                self.activation.step_back(setback)
        return None

    @contextlib.contextmanager
    def _failures_of_the_disk(self) -> Iterator[None]:
        """A disk that takes no more ends the attempt for now; an activation that is through is left to `finish_switch`."""
        try:
            yield
        except (OSError, DiskRefused) as error:
            if isinstance(error, OSError) and error.errno not in DISK_ERRNOS:
                raise
            refused = error if isinstance(error, DiskRefused) else DiskRefused("disk-full", str(error))
            pending = self.record.state.pending
            if pending is None or pending.stage in UNASKED or self.activation.is_switched:
                raise refused from error
            try:
                setback = Setback(STAGE_NAMES[pending.stage], refused.reason, refused.detail)
                self.record.give_up(setback, permanent=False, keep=True)
            except OSError:
                raise refused from error

    def _begin(self, target: Target, rollout: str | None) -> None:
        # What an earlier attempt left of downloads was told of in that attempt.
        told = MappingProxyType(self.layout.all_received_bytes())
        self.record.advance(Pending(new_id(), rollout, target, self.clock.now(), accounted=told))

    def _fetch(self) -> Refused | None:
        self.fetching.check_room()
        try:
            self._bring()
        except Paused as paused:
            return paused.refused
        return None

    def _bring(self) -> None:
        try:
            self.fetching.bring_companions()
        except NotGiven as refused:
            self.record.give_up(refused.setback, permanent=True)
            return
        try:
            self.fetching.bring_offer()
        except NotGiven as refused:
            self.record.fail_offer(refused.setback)
            return
        self.record.advance(replace(self.record.pending, stage=Stage.FETCHED))

    def _apply(self) -> None:
        offer = self.record.offer
        if offer.way is Way.PREVIOUS:
            self._check_previous()
            return
        try:
            built = self._build(offer)
        except ApplyFailed as error:
            self.record.fail_offer(Setback("apply", error.reason, error.detail))
            return
        pending = self.record.pending
        if built is None:
            # Somebody tidied up below us, or the file system lost the bytes: fetch what is missing.
            self.record.advance(replace(pending, stage=Stage.CHOSEN))
            return
        detail = {
            "way": offer.way,
            "duration_s": round(built.duration_s, 3),
            "peak_memory_bytes": built.peak_memory_bytes,
        }
        self.record.advance(replace(pending, stage=Stage.STAGED), ("applied", detail))

    def _build(self, offer: Offer) -> slots.Built | None:
        """Make the slot, unless it is there; `None` when the bytes for it are not."""
        target, paths, models = self.record.pending.target, self.layout.line(self.model), self.config.models
        contract = slots.find_contract(self.layout, models, target.contract.sha256)
        if contract is not None and slots.has_model(paths, target.sha256):
            if not slots.is_labelled(paths, self.model, target):
                slots.label(paths, self.model, target, contract)
            return slots.Built(0.0, None)
        model_files = (self.layout.downloaded(offer.sha256), paths.building(target.sha256) / MODEL_FILE)
        if contract is None or not any(file.is_file() for file in model_files):
            return None
        base = None if offer.base is None else slots.find_model(self.layout, models, offer.base)
        return slots.build(
            self.layout, self.model, target, offer, base=base, contract=contract, limits=self.config.children
        )

    def _check_previous(self) -> None:
        """A step back is taken at once, after a look at the file: it was healthy here, but is it still?"""
        pending, paths = self.record.pending, self.layout.line(self.model)
        sha256 = pending.target.sha256
        if slots.is_complete(paths, sha256):
            self.record.advance(replace(pending, stage=Stage.READY))
            return
        log.error("previous_damaged", extra={"model": self.model, "sha256": sha256})
        setback = Setback("verify", PREVIOUS_DAMAGED, "the previous model's file is damaged")
        chosen_anew = replace(pending, stage=Stage.NEW, setback=setback)
        self.record.commit(replace(self.record.state, previous=None, pending=chosen_anew))
        slots.discard(paths, sha256)

    def _smoke(self) -> None:
        from agent import smoke  # here: once for each attempt

        pending = self.record.pending
        target = pending.target
        slot, samples = self.layout.line(self.model).slot(target.sha256), target.sample_set
        sample_set = None if samples is None else self.layout.sample_set(samples.sha256)
        try:
            with self.record.counting(replace(pending, smoke_runs=pending.smoke_runs + 1)):
                passed = smoke.run(
                    slot / MODEL_FILE, slot / CONTRACT_FILE, sample_set, target.tolerances, limits=self.config.children
                )
                smoke.measure(slot / MODEL_FILE, sample_set, target.limits, limits=self.config.children)
        except SmokeFailed as error:
            setback = Setback("smoke", error.reason, error.detail)
            self.record.give_up(setback, permanent=not smoke.is_transient(error))
            return
        detail = {"samples": passed.samples, "max_abs_error": passed.max_abs_error, "agreement": passed.agreement}
        stage = Stage.CHECKED if self.config.shadow.enabled else Stage.READY
        self.record.advance(replace(self.record.pending, stage=stage), ("smoke_passed", detail))

    def _shadow(self) -> None:
        if not self.config.shadow.enabled:  # any more
            self.record.advance(replace(self.record.pending, stage=Stage.READY))
            return
        from agent import shadow  # here: only where the owner wants shadow runs

        pending, paths, current = self.record.pending, self.layout.line(self.model), self.record.state.current
        target = pending.target
        # A model that has rotted would answer differently, and be no reason to refuse another one.
        is_sound = current is not None and slots.is_complete(paths, current)
        try:
            with self.record.counting(replace(pending, shadow_runs=pending.shadow_runs + 1)):
                found = shadow.run(
                    paths.model(target.sha256),
                    paths.model(current) if current is not None and is_sound else None,
                    None if target.sample_set is None else self.layout.sample_set(target.sample_set.sha256),
                    self.config,
                )
        except ShadowFailed as error:
            self.record.give_up(Setback("shadow", error.reason, error.detail), permanent=not shadow.is_transient(error))
            return
        objection = shadow.judge(found, self.config.shadow)
        event: Event = ("shadowed", shadow.event_detail(found, vetoed=objection is not None))
        if objection is None:
            self.record.advance(replace(self.record.pending, stage=Stage.READY), event)
        else:
            self.record.give_up(Setback("shadow", objection.reason, objection.detail), event, permanent=True)

    def _activate(self) -> Refused | None:
        """The switch and the verdict on it in one go: a link that fails in between must not keep a bad model serving."""
        not_now = self.activation.switch()
        if not_now is not None:
            log.info("not_now", extra={"model": self.model, "why": not_now})
            why = waits(Activity.ACTIVATE, "the pre_activate hook says not now")
            return Refused("pre-activate", Activity.ACTIVATE, why, look_again_s=None)
        self._finish()
        return None
