"""The daemon's cycle: poll, carry out what was decided for each line, tell the server, measure, sleep.

Nothing is begun or finished without an answer of this cycle, so a rollout that is paused stays paused on a device that
cannot hear it. The one exception is an activation whose link was already replaced: that is only written down.

What a rule of the device's owner refuses waits; between two polls the rule is asked again, which costs no byte on the link,
and when it allows, the next cycle begins at once.
"""

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from agent import __version__, backoff, children, housekeeping, identity
from agent.attempt import Line
from agent.clock import Clock, Instant
from agent.conditions import Observer
from agent.config import Config
from agent.decide import Action, Idle, WaitForDelta
from agent.delivery import Delivery
from agent.errors import (
    DISK_ERRNOS,
    AgentError,
    DiskRefused,
    NotApproved,
    NotTrusted,
    RequestRefused,
    RuleRefused,
    ServerUnavailable,
    StepFailed,
    Unauthenticated,
)
from agent.gate import Gate
from agent.http import Client
from agent.identity import Credential
from agent.keeping import Keeper, Messages
from agent.layout import Layout
from agent.policy import Activity, Refused
from agent.poll import Saying, poll, saying
from agent.pulse import Polled
from agent.record import Record
from agent.source import ServerSource, Source
from agent.spending import Spending
from agent.state import Facts
from agent.trust.guard import Guard
from agent.wire import Entry, PollAnswer, parse_json

# After an activation the device has something new to say, and the server may have an answer to it.
MAX_ROUNDS = 4
# More steps than any attempt over all ways takes: a defect ends as an error, not as a loop.
MAX_STEPS = 200
FACTS_TIMEOUT_S = 30.0
LEAST_REST_S = 0.001

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cycle ended: when the next one is due, and the exit code of a command that ran only this one."""

    delay_s: float
    exit_code: int = 0


class Works(Protocol):
    """One model line at work, for one cycle: `agent.attempt.Line` is one."""

    record: Record

    @property
    def model(self) -> str:
        """The line's name."""

    def step(self, entry: Entry | None) -> Action:
        """Decide once and carry it out; returns what was decided.

        Raises:
            ServerUnavailable, Unauthenticated, DiskRefused: as `agent.attempt.Line.step`.
        """

    def finish_switch(self) -> None:
        """Bring to its end what needs nobody's word."""


@dataclass(slots=True)
class Agent:
    """One agent on its state directory, which `store` has locked.

    What touches the machine is in `_learn_facts`, `_hear`, `_lines`, `_collect`, `_count` and `_measure_line` alone; a simulation has
    its own.
    """

    config: Config
    layout: Layout
    store: Keeper
    outbox: Messages
    client: Client
    clock: Clock
    credential: Credential | None = None
    failures: int = 0
    refusals: int = 0
    polled: Polled | None = None
    _gave_up: bool = False
    _answer: PollAnswer | None = None
    _polled_at: Instant | None = None
    _delivery: Delivery = field(init=False)
    # When the last whole cycle ended, and how long the server is left alone after it.
    _rested_at: Instant | None = None
    _rest_s: float = 0.0
    # What the owner's rules held back in that cycle.
    _refused: list[Refused] = field(default_factory=list)
    _gate: Gate | None = None
    _guard: Guard | None = None

    def __post_init__(self) -> None:
        self._delivery = Delivery(self.outbox, self.client, self.clock)

    def run(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Cycle until a `BaseException` that is no error ends it, such as the one that SIGTERM becomes."""
        while True:
            sleep(self.cycle().delay_s)

    def cycle(self) -> Outcome:
        """One poll and all the work that it brings, or what is due before it: a delivery, a look at the owner's rules.

        An error becomes a delay.
        """
        self._gave_up = False
        try:
            has_errands = self._delivery.error is not None or bool(self._refused)
            rest_s = self._between_polls() if has_errands and self._rest_left_s() > 0 else self._cycle()
        except AgentError as error:
            return self._after(error)
        except OSError as error:
            if error.errno not in DISK_ERRNOS:
                raise
            return self._after(DiskRefused("disk-full", str(error)))
        finally:
            self.client.close()
        self.failures = self.refusals = 0
        return self._outcome(rest_s)

    def _outcome(self, rest_s: float) -> Outcome:
        """The end of a cycle without an error: the next one is a poll, or before it a delivery that failed."""
        undelivered = self._delivery.error
        if undelivered is None:
            return Outcome(rest_s, StepFailed.exit_code if self._gave_up else 0)
        delay_s = min(rest_s, max(backoff.LEAST_DELAY_S, self._delivery.wait_s()))
        return Outcome(delay_s, undelivered.exit_code)

    def _between_polls(self) -> float:
        """Send what could not be sent, and ask the rules again that refused; a rule that allows begins the next cycle."""
        if self._delivery.error is not None:
            self._delivery.send()
        asked = [refused for refused in self._refused if refused.look_again_s is not None]
        answers = [(one, self._refusal(one.activity, needs_bytes=one.needs_bytes)) for one in asked]
        if any(answer is None for _one, answer in answers):
            return self._cycle()
        # Another rule may hold it back by now, or the same one until another time.
        renewed = [replace(answer, needs_bytes=one.needs_bytes) for one, answer in answers if answer is not None]
        self._refused = [*(one for one in self._refused if one.look_again_s is None), *renewed]
        return self._until_next_s(self._rest_left_s())

    def _until_next_s(self, rest_s: float) -> float:
        """The rest, or less where a rule should be asked again before its end."""
        looks = (refused.look_again_s for refused in self._refused if refused.look_again_s is not None)
        return min([rest_s, *(max(backoff.LEAST_ANSWERED_S, look_s) for look_s in looks)])

    def _rest_left_s(self) -> float:
        """Seconds until the next cycle; what is left by rounding is none, or that cycle would be waited for and never come."""
        left_s = 0.0 if self._rested_at is None else self._rest_s - self.clock.now().since(self._rested_at)
        return left_s if left_s > LEAST_REST_S else 0.0

    def install(self, entry: Entry, source: Source, news: bytes) -> Outcome:
        """Carry out one entry from a bundle, with the same steps; nothing is sent.

        Raises:
            NotTrusted: the bundle's metadata is refused, or does not allow it.
            RuleRefused: a rule of the configuration holds it back; called another time, it goes on.
        """
        self._gave_up = False
        self.guard.take(Record(entry.model, self.store, self.clock), news)
        line = self._line(entry.model, source)
        line.finish_switch()
        action = self._work(line, lambda: entry)
        self._collect()
        log.info("bundle_done", extra={"model": entry.model, "ended": type(action).__name__})
        if isinstance(action, Refused) and action.activity is Activity.INSTALL:
            raise NotTrusted(f"{entry.model}: {action.rule}: {action.detail}")
        if isinstance(action, Refused):
            raise RuleRefused(f"{action.rule}: {action.detail}; the same command goes on another time")
        return Outcome(0.0, StepFailed.exit_code if self._gave_up else 0)

    def _cycle(self) -> float:
        self._rested_at = None
        self._refused = []
        self._learn_facts()
        lines = self._lines()
        for line in lines:
            line.finish_switch()
        self._collect()
        waits = self._settle(lines)
        self._delivery.send()
        if self._measure(lines):
            self._delivery.send()
        self._count()
        self._rest_s = min([backoff.after_answer(self._interval_s(), self.clock.uniform), *waits])
        self._rested_at = self.clock.now()
        return self._until_next_s(self._rest_s)

    def _settle(self, lines: Sequence[Works]) -> list[float]:
        """Poll and work until there is nothing new to say; how long the lines wait for deltas."""
        for _round in range(MAX_ROUNDS):
            said = self._poll()
            waits = self._work_all(lines)
            self._collect()
            if self._saying().digest == said.digest:
                break
            self._delivery.send()
        return waits

    def _saying(self) -> Saying:
        return saying(self.config, self.store.state, agent_version=__version__)

    def _poll(self) -> Saying:
        """Ask the server; what was said with it."""
        said = self._saying()
        try:
            self._answer = poll(self.client, self.store, self.config, said)
        except Unauthenticated:
            if self.credential is None or not self.credential.go_over():
                raise
            self._answer = poll(self.client, self.store, self.config, said)
        if self._answer.rotate_credential and self.credential is not None:
            self.credential.rotate()
        self._polled_at = self.clock.now()
        self.polled = Polled(self._polled_at, self.clock.wall_time(), "answered")
        return said

    def _entry(self, model: str) -> Entry | None:
        """What the server wants of a line; asked again when a long step has made the answer old."""
        if self._answer is None or self._polled_at is None or self._is_old(self._polled_at):
            self._poll()
        entry = None if self._answer is None else self._answer.entries.get(model)
        self._hear(model, entry)
        return entry

    def _hear(self, model: str, entry: Entry | None) -> None:
        """Ask for newer signed metadata of a line, where that is due."""
        self.guard.hear(Record(model, self.store, self.clock), entry)

    def _is_old(self, polled_at: Instant) -> bool:
        return self.clock.now().since(polled_at) > self._interval_s()

    def _interval_s(self) -> float:
        answered_s = backoff.MAX_DELAY_S if self._answer is None else self._answer.poll_after_s
        return backoff.interval_s(self.config.poll_interval_s, answered_s)

    def _work_all(self, lines: Sequence[Works]) -> list[float]:
        """Every line gets its turn; the first failure of a line is raised after all had theirs."""
        waits: list[float] = []
        failed: list[AgentError] = []
        self._refused = []
        for line in lines:
            try:
                action = self._work(line, functools.partial(self._entry, line.model))
            except (ServerUnavailable, DiskRefused) as error:
                log.warning("line_stopped", extra={"model": line.model, "why": str(error)})
                failed.append(error)
                continue
            if isinstance(action, WaitForDelta):
                waits.append(max(backoff.LEAST_ANSWERED_S, action.wait_s))
            if isinstance(action, Refused):
                self._refused.append(action)
        if failed:
            self._delivery.send()
            raise failed[0]
        return waits

    def _work(self, line: Works, entry: Callable[[], Entry | None]) -> Action:
        """Step until there is nothing to do, or the attempt failed: another one is not begun in the same cycle."""
        for _step in range(MAX_STEPS):
            if line.record.gave_up:
                self._gave_up = True
                return Idle("gave-up")
            action = line.step(entry())
            if isinstance(action, Idle | WaitForDelta | Refused):
                log.info("settled", extra={"model": line.model, "why": _why(action)})
                return action
        raise RuntimeError(f"{line.model}: {MAX_STEPS} steps did not come to an end")

    def _measure(self, lines: Sequence[Works]) -> bool:
        """Run the benchmarks that activations have earned; whether there is a report."""
        reports = [self._measure_line(line.model) for line in lines]
        return any(reports)

    def _measure_line(self, model: str) -> bool:
        """Run the benchmark that a line owes, if it owes one and no rule holds it back; whether there is a report."""
        if self.store.state.lines[model].benchmark is None:
            return False
        refused = self._refusal(Activity.BENCHMARK)
        Record(model, self.store, self.clock).note_benchmark_refusal(refused)
        if refused is not None:
            self._refused.append(refused)
            return False
        from agent.measure import measure_due  # here: once for each activation

        return measure_due(model, self.config, self.layout, self.store, self.outbox)

    @property
    def guard(self) -> Guard:
        """What this device trusts."""
        if self._guard is None:
            self._guard = Guard(
                self.config, self.layout, self.client, self.clock, identity.pins_of(self.config, self.layout)
            )
        return self._guard

    @property
    def gate(self) -> Gate:
        """The owner's rules on this machine."""
        if self._gate is None:
            spending = Spending(self.layout.day, self.clock, self.client.counted)
            observer = Observer(self.config.policy, self.layout.root, self.clock, spending)
            self._gate = Gate(self.config.policy, observer, spending)
        return self._gate

    def _refusal(self, activity: Activity, *, needs_bytes: int = 0) -> Refused | None:
        return self.gate.refusal(activity, needs_bytes=needs_bytes)

    def _count(self) -> None:
        """Add what the cycle cost to the day."""
        self.gate.count()

    def _collect(self) -> None:
        housekeeping.collect(self.layout, self.store.state)

    def _lines(self) -> Sequence[Works]:
        source = ServerSource(self.client, self.layout, self.config.download, self.gate)
        return [self._line(model, source) for model in self.config.models]

    def _line(self, model: str, source: Source) -> Line:
        return Line.open(
            model,
            config=self.config,
            layout=self.layout,
            store=self.store,
            clock=self.clock,
            source=source,
            gate=self.gate,
            guard=self.guard,
        )

    def _learn_facts(self) -> None:
        """Ask the facts child once per boot and version; without facts the device says only what is configured."""
        boot_id, version = self.clock.now().boot_id, __version__
        known = self.store.state.facts
        if known is not None and (known.boot_id, known.agent_version) == (boot_id, version):
            return
        ended = children.run(children.python_module("agent.facts"), timeout_s=FACTS_TIMEOUT_S)
        found = parse_json(ended.stdout, "facts") if ended.returncode == 0 else None
        if not isinstance(found, dict):
            log.warning("facts_failed", extra={"why": f"exit {ended.returncode}: {ended.stderr_end[-200:]}"})
            return
        attributes = {str(name): str(value) for name, value in found.items()}
        self.store.commit(replace(self.store.state, facts=Facts(boot_id, version, attributes)))

    def _after(self, error: AgentError) -> Outcome:
        """How long an error keeps the device from asking again."""
        log.error("cycle_failed", extra={"slug": error.slug, "why": str(error)})
        self.polled = Polled(self.clock.now(), self.clock.wall_time(), error.slug, str(error)[:500])
        if isinstance(error, RequestRefused):
            self.refusals += 1
            return Outcome(backoff.after_refusal(self.refusals, self.clock.uniform), error.exit_code)
        if isinstance(error, NotApproved):
            return Outcome(backoff.while_unapproved(error.retry_after_s, self.clock.uniform), error.exit_code)
        self.failures += 1
        retry_after_s = error.retry_after_s if isinstance(error, ServerUnavailable) else None
        return Outcome(backoff.after_failure(self.failures, retry_after_s, self.clock.uniform), error.exit_code)


def _why(action: Idle | WaitForDelta | Refused) -> str:
    match action:
        case Idle(reason):
            return reason
        case WaitForDelta():
            return "waiting-for-delta"
        case Refused():
            return f"refused: {action.rule}"
