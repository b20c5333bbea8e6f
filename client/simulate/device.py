"""A virtual device: the agent itself, on a memory in place of a disk, a simulated link and a clock of its own.

`cycle` is the daemon's own (`agent.loop.Agent.cycle`); its result says how long the daemon would sleep. During it the device's
clock runs ahead by what its transfers and its work take.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent import backoff
from agent.config import Config
from agent.layout import Layout
from agent.loop import Agent, Works
from agent.poll import poll
from agent.record import Record
from agent.state import LineState, State
from agent.wire import Entry
from client.simulate.clock import VirtualClock
from client.simulate.disk import Disk, Memory, Outbox
from client.simulate.fetching import LinkSource
from client.simulate.line import Fate, VirtualLine
from client.simulate.patience import patiently
from client.simulate.transport import LinkedClient
from client.simulate.trust import VirtualGuard

# A quick benchmark and its child's start.
BENCHMARK_S = 12.0


@dataclass(frozen=True, slots=True)
class Holding:
    """What a device has at the start; all None for a device that has nothing."""

    model: str | None = None
    contract: str | None = None
    sample_set: str | None = None

    def digests(self) -> set[str]:
        return {sha256 for sha256 in (self.contract, self.sample_set) if sha256 is not None}


class VirtualAgent(Agent):
    """The agent whose machine is made up.

    Args:
        report: a report on the target, which every device sends as its own; None sends none.
    """

    client: LinkedClient
    clock: VirtualClock
    outbox: Outbox

    def __init__(
        self,
        config: Config,
        client: LinkedClient,
        clock: VirtualClock,
        *,
        holding: Holding,
        fate: Fate,
        report: Mapping[str, Any] | None,
    ) -> None:
        lines = {model: LineState(current=holding.model) for model in config.models}
        outbox = Outbox(client.tell)
        super().__init__(config, Layout(config.state_dir), Memory(outbox, State(lines=lines)), outbox, client, clock)
        self.disk = Disk({holding.model} if holding.model else set(), holding.digests())
        self._fate = fate
        self._trust = VirtualGuard(config, client)
        self._report = report

    @property
    def model(self) -> str:
        """The one line that a virtual device has."""
        return self.config.models[0]

    @property
    def line(self) -> LineState:
        return self.store.state.lines[self.model]

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way and the server knows all of it."""
        line = self.line
        has_answer = self._answer is not None and self.failures == self.refusals == 0
        is_open = line.pending is not None or line.benchmark is not None or self._may_try_again(line)
        return has_answer and not is_open and self.outbox.is_empty()

    def introduce(self) -> float:
        """Say for the first time what the device has; the seconds between its polls."""
        answer = poll(self.client, self.store, self.config, self._saying())
        return backoff.interval_s(self.config.poll_interval_s, answer.poll_after_s)

    def deliver_rest(self) -> None:
        """Send what waits, as if beside the server, so that the books on both sides are whole."""
        self.client.is_on_link = False
        try:
            patiently(lambda: self.outbox.send(self.client))
        finally:
            self.client.close()

    def _may_try_again(self, line: LineState) -> bool:
        entry = None if self._answer is None else self._answer.entries.get(self.model)
        if entry is None or entry.target is None or entry.target.sha256 == line.current:
            return False
        failure = line.failure_of(entry.target.sha256, entry.rollout)
        return failure is None or not failure.permanent

    def _learn_facts(self) -> None:
        """A virtual device has no facts beside its configured attributes."""

    def _hear(self, model: str, entry: Entry | None) -> None:
        self._trust.hear(Record(model, self.store, self.clock), entry)

    def _count(self) -> None:
        """A virtual device keeps no day's count on disk."""

    def _lines(self) -> Sequence[Works]:
        record, source = Record(self.model, self.store, self.clock), LinkSource(self.client, self.disk)
        return [VirtualLine(self.config, self.clock, record, source, self.disk, self._fate, self._trust)]

    def _collect(self) -> None:
        line = self.line
        pending = line.pending
        replaced = None if pending is None else pending.replaces
        building = None if pending is None else pending.target.sha256
        kept = {sha256 for sha256 in (line.current, line.previous, replaced, building) if sha256 is not None}
        self.disk.collect(kept, set() if pending is None else set(pending.artifacts()))

    def _measure_line(self, model: str) -> bool:
        """Put the report into the outbox that the activation has earned."""
        line = self.line
        if line.benchmark is None:
            return False
        due = line.benchmark
        self.clock.advance(BENCHMARK_S)
        self.store.commit(self.store.state.with_line(model, replace(line, benchmark=None)))
        if self._report is None:
            return False
        report = dict(self._report) | {"run_id": str(uuid.uuid4())}
        self.outbox.put_report({"model": model, "sha256": due.sha256, "attempt": due.attempt, "report": report})
        return True
