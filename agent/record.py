"""The written side of one line's attempt: every change of its state is one commit, together with the events that tell of it."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from agent.clock import Clock
from agent.keeping import Keeper
from agent.policy import Refused
from agent.state import Failure, LineState, Pending, Refusal, Setback, Stage
from agent.wire import Offer, Way

MAX_FAILURES_KEPT = 8
MAX_DETAIL = 500
# The kind and the detail of an event, as docs/wire.md has them.
Event = tuple[str, Mapping[str, Any]]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Record:
    """What is written down about one model line. `gave_up` tells that an attempt failed since this object was made."""

    model: str
    store: Keeper
    clock: Clock
    gave_up: bool = False

    @property
    def state(self) -> LineState:
        return self.store.state.lines[self.model]

    @property
    def pending(self) -> Pending:
        """The attempt under way; a defect where there is none."""
        pending = self.state.pending
        if pending is None:
            raise RuntimeError(f"{self.model}: this step needs an attempt under way")
        return pending

    @property
    def offer(self) -> Offer:
        """The chosen way; a defect where none is chosen."""
        offer = self.pending.offer
        if offer is None:
            raise RuntimeError(f"{self.model}: this step needs a chosen way")
        return offer

    def commit(self, line: LineState, *events: Event, of: Pending | None = None) -> None:
        """Make the line's new state durable with its events, numbered on from the count of the attempt that they are of."""
        documents = []
        if events:
            pending = of or line.pending or self.pending
            documents = [self._event(pending, index, event) for index, event in enumerate(events)]
            if line.pending is not None:
                line = replace(line, pending=replace(pending, seq=pending.seq + len(events)))
        self.store.commit(self.store.state.with_line(self.model, line), documents)
        for kind, detail in events:
            log.info(kind, extra={"model": self.model, **{f"event_{key}": value for key, value in detail.items()}})

    def advance(self, pending: Pending, *events: Event) -> None:
        """The same, where only the attempt changes."""
        self.commit(replace(self.state, pending=pending), *events)

    @contextmanager
    def counting(self, begun: Pending) -> Iterator[None]:
        """Write down that a run has begun: one that takes the machine down is not begun for ever. One that a stop cuts short does not count."""
        before = self.pending
        self.advance(begun)
        try:
            yield
        except Exception:
            raise
        except BaseException:
            self.advance(before)
            raise

    def take_offer(self, offer: Offer, instead_of: Way | None) -> None:
        """Go this way, instead of the one that failed before it, if one did."""
        pending = self.pending
        stage = Stage.FETCHED if offer.way is Way.PREVIOUS else Stage.CHOSEN
        event: Event = ("started", {"from": self.state.current, "way": offer.way})
        if instead_of is not None:
            reason = pending.setback.reason if pending.setback else "unknown"
            event = ("fallback", {"from": instead_of, "to": offer.way, "reason": reason})
        self.advance(replace(pending, offer=offer, stage=stage), event)

    def fail_offer(self, setback: Setback) -> None:
        """Back to the choice, without this way."""
        pending = self.pending
        failed = (*pending.failed_offers, self.offer.sha256)
        self.advance(replace(pending, stage=Stage.NEW, failed_offers=failed, setback=setback))

    def give_up(self, setback: Setback, *events: Event, permanent: bool, keep: bool = False) -> None:
        """Close the attempt, after these events, and remember why, so that it is not begun again at once, or at all.

        With `keep`, what was fetched stays for the next attempt at the same target, as long as the server wants that.
        """
        line = self._failed(setback, permanent=permanent, keeps=self.pending.artifacts() if keep else ())
        self.commit(line, *events, failed_event(setback, permanent=permanent))

    def roll_back(self, setback: Setback, *, current: str | None, permanent: bool) -> None:
        """Close an attempt whose model was current and is not any more."""
        line = self._failed(setback, permanent=permanent)
        # `previous` is a model that was healthy here; where the target was it, it is not.
        previous = None if line.previous in (self.pending.target.sha256, current) else line.previous
        event = failed_event(setback, permanent=permanent)
        if current is not None:
            event = "rolled_back", {"to": current, "reason": setback.reason, "detail": setback.detail[:MAX_DETAIL]}
        self.commit(replace(line, current=current, previous=previous), event)

    def _failed(self, setback: Setback, *, permanent: bool, keeps: tuple[str, ...] = ()) -> LineState:
        """The line without its attempt, which is remembered as failed."""
        self.gave_up = True
        pending = self.pending
        key = (pending.target.sha256, pending.rollout)
        earlier = self.state.failure_of(*key)
        times = 1 + (earlier.times if earlier is not None else 0)
        failure = Failure(*key, setback.reason, permanent, times, self.clock.now(), keeps)
        others = tuple(one for one in self.state.failures if (one.sha256, one.rollout) != key)
        return replace(self.state, pending=None, failures=(*others, failure)[-MAX_FAILURES_KEPT:])

    def abandon(self, setback: Setback) -> None:
        """Close an attempt that the server no longer wants; one that was never told of ends without a word."""
        told = self.pending.seq > 0
        events = [failed_event(setback, permanent=False)] if told else []
        self.commit(replace(self.state, pending=None), *events)

    def note_refusal(self, refused: Refused | None) -> None:
        """Remember the rule that holds the attempt back, or that none does any more; written and told only when that changed."""
        known = self.state.refused
        if not _is_news(known, refused):
            return
        self.commit(replace(self.state, refused=self._refusal(refused)))

    def note_benchmark_refusal(self, refused: Refused | None) -> None:
        """The same for the benchmark that is due."""
        due = self.state.benchmark
        if due is not None and _is_news(due.refused, refused):
            self.commit(replace(self.state, benchmark=replace(due, refused=self._refusal(refused))))

    def _refusal(self, refused: Refused | None) -> Refusal | None:
        if refused is None:
            log.info("allowed", extra={"model": self.model})
            return None
        fields = {"rule": refused.rule, "why": refused.detail, "look_again_s": refused.look_again_s}
        log.info("refused", extra={"model": self.model, **fields})
        return Refusal(refused.rule, refused.detail, self.clock.now())

    def _event(self, pending: Pending, index: int, event: Event) -> dict[str, Any]:
        kind, detail = event
        return {
            "attempt": pending.attempt,
            "seq": pending.seq + index,
            "kind": kind,
            "at": self.clock.wall_time(),
            "model": self.model,
            "target": pending.target.sha256,
            "rollout": pending.rollout,
            "detail": dict(detail),
        }


def _is_news(known: Refusal | None, refused: Refused | None) -> bool:
    told = None if known is None else (known.rule, known.detail)
    return told != (None if refused is None else (refused.rule, refused.detail))


def failed_event(setback: Setback, *, permanent: bool) -> Event:
    """The final event of an attempt that failed."""
    return "failed", {
        "stage": setback.stage,
        "reason": setback.reason,
        "detail": setback.detail[:MAX_DETAIL],
        "permanent": permanent,
    }
