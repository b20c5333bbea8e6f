"""The switch to a new model and what follows: the owner's hooks, the health check, the step back by itself.

Stages are committed before they act, so a power cut at any point is followed by the rest of the same story at the next start, without
asking the server: `switching` (the link may have been replaced), `observed` (it was; the verdict is open), `stepping-back` (it goes
back). A hook may be called twice that way, never not at all.
"""

import logging
from dataclasses import dataclass, replace

from agent import hooks, slots
from agent.config import Config, Hooks
from agent.hooks import Answer, Hook, Subject
from agent.layout import LinePaths
from agent.record import Record
from agent.state import DueBenchmark, Pending, Setback, Stage
from agent.vigil import vigil
from agent.wire import Way

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Activation:
    """One line's attempt from its last check to its end."""

    config: Config
    paths: LinePaths
    record: Record

    @property
    def is_switched(self) -> bool:
        """Whether `current` is the attempt's target."""
        return self.paths.read_current() == self.record.pending.target.sha256

    def switch(self) -> str | None:
        """Ask the owner and replace the link; why not now, where the owner's hook says so.

        State that names what `current` was is durable before the link is replaced by one rename.
        """
        pending = self.record.pending
        answer = self._call(Hook.PRE_ACTIVATE, self._target())
        if answer.exit_code == hooks.NOT_NOW:
            return answer.detail
        if not answer.is_yes:
            self._refuse(answer)
            return None
        if not self._is_sound(pending):
            return None
        if pending.stage is not Stage.SWITCHING:
            # A damaged model may be replaced by itself: what is `previous` then stays so.
            current = self.record.state.current
            replaces = self.record.state.previous if current == pending.target.sha256 else current
            pending = replace(pending, stage=Stage.SWITCHING, replaces=replaces)
            self.record.advance(pending)
        self.paths.switch_current(pending.target.sha256)
        self.go_on()
        return None

    def go_on(self) -> None:
        """What follows the switch: the health check where there is one, else the end."""
        pending = self.record.pending
        if self.config.hooks.health:
            observed = replace(pending, stage=Stage.OBSERVED)
            self.record.commit(replace(self.record.state, current=pending.target.sha256, pending=observed))
        else:
            self._call(Hook.POST_ACTIVATE, self._target())
            self._succeed()

    def observe(self) -> None:
        """Tell the serving code, let it settle, ask whether all is well; then the end, or the stage before the step back."""
        pending, limits = self.record.pending, self.config.hooks
        if not self.is_switched:
            # Somebody has moved the link, or it was lost: what is not current is not observed.
            moved = replace(self.record.state, current=self.paths.read_current())
            self.record.commit(replace(moved, pending=replace(pending, stage=Stage.READY)))
            return
        with self.record.counting(replace(pending, health_runs=pending.health_runs + 1)):
            objection = self._objection(limits)
        if objection is None:
            self._succeed()
        else:
            self._go_back(objection)

    def _objection(self, limits: Hooks) -> Setback | None:
        """What the serving code, once told, has against the model; `None` when all is well."""
        self._call(Hook.POST_ACTIVATE, self._target())
        checks = limits.health_checks if limits.health else 0
        for check in range(checks):
            vigil.sleep(limits.health_interval_s if check else limits.health_settle_s)
            answer = self._call(Hook.HEALTH, self._target())
            if not answer.is_yes:
                return Setback("health", answer.reason, f"check {check + 1} of {checks}: {answer.detail}")
        return None

    def step_back(self, setback: Setback) -> None:
        """Back to the model that was current before; where there was none, or its file is damaged, to none."""
        pending = self._go_back(setback)
        back_to = pending.replaces
        if back_to is not None and not slots.is_complete(self.paths, back_to):
            log.error("previous_damaged", extra={"model": self.record.model, "sha256": back_to})
            back_to = None
        if back_to is None:
            self.paths.remove_current()
            subject = Subject(self.record.model, self.paths)
        else:
            self.paths.switch_current(back_to)
            subject = Subject.of_target(self.record.model, self.paths, slots.target_of(self.paths, back_to))
        self._call(Hook.POST_ACTIVATE, subject)
        # What is not well here is not tried again in this rollout, so that nothing goes round in circles; what only rotted is.
        self.record.roll_back(setback, current=back_to, permanent=setback.stage == "health")

    def _go_back(self, setback: Setback) -> Pending:
        """From here on the step back is finished, whatever happens."""
        pending = self.record.pending
        if pending.stage is not Stage.STEPPING_BACK:
            pending = replace(pending, stage=Stage.STEPPING_BACK, setback=setback)
            self.record.advance(pending)
        return pending

    def _is_sound(self, pending: Pending) -> bool:
        """Whether the slot is still what was checked: it may have waited for this moment for days, on flash that wears.

        If not, the attempt is over, and the next one fetches what is missing.
        """
        target, offer = pending.target, pending.offer
        if offer is not None and offer.way is Way.PREVIOUS:  # whose manifest is that of its own rollout
            is_sound = slots.is_complete(self.paths, target.sha256)
        else:
            is_sound = slots.is_labelled(self.paths, self.record.model, target)
        if not is_sound:
            log.error("slot_damaged", extra={"model": self.record.model, "sha256": target.sha256})
            setback = Setback("verify", "slot-damaged", "the files of the new model are not what was installed")
            self.record.give_up(setback, permanent=False, keep=True)
        return is_sound

    def _refuse(self, answer: Answer) -> None:
        """The owner's hook wants this model never, or it failed: then it is asked again later, as after any failure that may pass."""
        never = answer.exit_code == hooks.NEVER
        setback = Setback("pre-activate", "vetoed" if never else answer.reason, answer.detail)
        self.record.give_up(setback, permanent=never, keep=not never)

    def _succeed(self) -> None:
        pending, state = self.record.pending, self.record.state
        target = pending.target
        stepped_back = pending.offer is not None and pending.offer.way is Way.PREVIOUS
        is_measured = self.config.bench.enabled and not stepped_back
        line = replace(
            state,
            current=target.sha256,
            previous=pending.replaces,
            pending=None,
            failures=tuple(one for one in state.failures if one.sha256 != target.sha256),
            benchmark=DueBenchmark(target.sha256, pending.attempt) if is_measured else None,
            verified=self.record.clock.now(),
            damaged=None,
        )
        self.record.commit(line, ("activated", {"previous": pending.replaces}))

    def _target(self) -> Subject:
        return Subject.of_target(self.record.model, self.paths, self.record.pending.target)

    def _call(self, hook: Hook, subject: Subject) -> Answer:
        configured = self.config.hooks
        commands = {
            Hook.PRE_ACTIVATE: configured.pre_activate,
            Hook.POST_ACTIVATE: configured.post_activate,
            Hook.HEALTH: configured.health,
        }
        return hooks.call(hook, commands[hook], subject, configured)
