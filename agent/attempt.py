"""Carrying out one line's decisions, each ended by one commit that holds the new state and its events.

If power fails inside a step, the step is done again at the next start, with the same attempt id and the next free event
number: nothing here has an effect that a repetition would double, except bytes on the link, and those resume.
"""

import contextlib
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from agent import children, slots, smoke
from agent.clock import Clock
from agent.config import Config
from agent.decide import (
    Abandon,
    Action,
    Activate,
    Apply,
    Begin,
    Fetch,
    GiveUp,
    Idle,
    Smoke,
    TryOffer,
    WaitForDelta,
    decide,
)
from agent.errors import (
    DISK_ERRNOS,
    ApplyFailed,
    BundleInvalid,
    DiskRefused,
    RequestRefused,
    SmokeFailed,
    StepFailed,
    TransferRejected,
    Unauthenticated,
)
from agent.layout import CONTRACT_FILE, MODEL_FILE, Layout
from agent.source import Source
from agent.state import DueBenchmark, Failure, LineState, Pending, Setback, Stage
from agent.store import Store
from agent.wire import Blob, Entry, Offer, Way

MAX_FAILURES_KEPT = 8
# What a failed step is called in the `failed` event, by how far the attempt had come.
STAGE_NAMES = {
    Stage.NEW: "download",
    Stage.CHOSEN: "download",
    Stage.FETCHED: "apply",
    Stage.STAGED: "smoke",
    Stage.CHECKED: "activate",
    Stage.SWITCHING: "activate",
}

log = logging.getLogger(__name__)

Event = tuple[str, Mapping[str, Any]]


@dataclass(slots=True)
class Line:
    """One model line at work, for one cycle. `gave_up` tells that an attempt failed in it."""

    model: str
    config: Config
    layout: Layout
    store: Store
    clock: Clock
    source: Source
    gave_up: bool = False

    @property
    def state(self) -> LineState:
        return self.store.state.lines[self.model]

    @property
    def _pending(self) -> Pending:
        pending = self.state.pending
        if pending is None:
            raise RuntimeError(f"{self.model}: this step needs an attempt under way")
        return pending

    def step(self, entry: Entry | None) -> Action:
        """Decide once and carry it out; returns what was decided.

        Raises:
            ServerUnavailable: the link failed; the attempt goes on later.
            Unauthenticated: so does it, should the device be let in again.
            DiskRefused: not even the failure could be written down.
        """
        held = slots.held_models(self.layout, self.config.models)
        action = decide(self.state, entry, policy=self.config.policy, held=held, now=self.clock.now())
        log.debug("decided", extra={"model": self.model, "action": type(action).__name__})
        with self._failures_of_the_disk():
            self._carry_out(action)
        return action

    def finish_switch(self) -> None:
        """Complete an activation whose link was replaced before the commit that says so."""
        pending = self.state.pending
        if pending is None or pending.stage is not Stage.SWITCHING:
            return
        if self.layout.line(self.model).read_current() == pending.target.sha256:
            self._complete_switch(pending)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Begin(target, rollout):
                # What an earlier attempt left of downloads was told of in that attempt.
                told = MappingProxyType(self.layout.all_received_bytes())
                self._advance(Pending(str(uuid.uuid4()), rollout, target, self.clock.now(), accounted=told))
            case Abandon(reason):
                self._close_failed(Setback(STAGE_NAMES[self._pending.stage], reason, "the server wants otherwise"))
            case TryOffer(offer, instead_of):
                self._try(offer, instead_of)
            case Fetch():
                self._fetch()
            case Apply():
                self._apply()
            case Smoke():
                self._smoke()
            case Activate():
                self._activate()
            case GiveUp(setback, permanent):
                self._give_up(setback, permanent=permanent)
            case Idle() | WaitForDelta():
                pass

    @contextlib.contextmanager
    def _failures_of_the_disk(self) -> Iterator[None]:
        """A disk that takes no more ends the attempt for now; an activation that is through is left to `finish_switch`."""
        try:
            yield
        except (OSError, DiskRefused) as error:
            if isinstance(error, OSError) and error.errno not in DISK_ERRNOS:
                raise
            refused = error if isinstance(error, DiskRefused) else DiskRefused("disk-full", str(error))
            pending = self.state.pending
            if pending is None or self.layout.line(self.model).read_current() == pending.target.sha256:
                raise refused from error
            try:
                self._give_up(Setback(STAGE_NAMES[pending.stage], refused.reason, refused.detail), permanent=False)
            except OSError:
                raise refused from error

    # Events and commits

    def _commit(self, line: LineState, *events: Event) -> None:
        """Make the line's new state durable with its events, numbered on from the pending attempt's count."""
        pending = line.pending or self.state.pending
        if events and pending is None:
            raise RuntimeError(f"{self.model}: an event needs an attempt")
        documents = []
        if pending is not None and events:
            documents = [self._event(pending, index, event) for index, event in enumerate(events)]
            if line.pending is not None:
                line = replace(line, pending=replace(line.pending, seq=pending.seq + len(events)))
        self.store.commit(self.store.state.with_line(self.model, line), documents)
        for kind, detail in events:
            log.info(kind, extra={"model": self.model, **{f"event_{key}": value for key, value in detail.items()}})

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

    def _advance(self, pending: Pending, *events: Event) -> None:
        self._commit(replace(self.state, pending=pending), *events)

    def _try(self, offer: Offer, instead_of: Way | None) -> None:
        pending = self._pending
        stage = Stage.FETCHED if offer.way is Way.PREVIOUS else Stage.CHOSEN
        event: Event = ("started", {"from": self.state.current, "way": offer.way})
        if instead_of is not None:
            reason = pending.setback.reason if pending.setback else "unknown"
            event = ("fallback", {"from": instead_of, "to": offer.way, "reason": reason})
        self._advance(replace(pending, offer=offer, stage=stage), event)

    # Fetching

    def _fetch(self) -> None:
        """Bring contract, sample set and the way's bytes; the small ones first, since without them the rest is no use."""
        target, offer = self._pending.target, self._offer
        try:
            if slots.find_contract(self.layout, self.config.models, target.contract.sha256) is None:
                self._bring(target.contract, "contract")
            if target.sample_set is not None:
                self._bring_samples(target.sample_set)
        except (RequestRefused, TransferRejected, BundleInvalid) as error:
            self._give_up(_setback_of(error), permanent=True)
            return
        try:
            if not slots.is_complete(self.layout.line(self.model), target.sha256):
                self._bring(Blob(offer.sha256, offer.size_bytes), offer.way)
        except (RequestRefused, TransferRejected, BundleInvalid) as error:
            self._fail_offer(_setback_of(error))
            return
        self._advance(replace(self._pending, stage=Stage.FETCHED))

    @property
    def _offer(self) -> Offer:
        offer = self._pending.offer
        if offer is None:
            raise RuntimeError(f"{self.model}: this step needs a chosen way")
        return offer

    def _bring_samples(self, blob: Blob) -> None:
        if not self.layout.sample_set(blob.sha256).is_file():
            self._bring(blob, "sample-set")
            self.layout.keep_sample_set(blob.sha256)

    def _bring(self, blob: Blob, way: str) -> None:
        """Fetch one artifact and account for every byte of it, however it ends."""
        whole = self.layout.downloaded(blob.sha256)
        # Bytes that a killed process received and never told of are on disk; their headers are lost.
        received = self.layout.received_bytes(blob.sha256) if self.source.is_link else 0
        untold = max(0, received - self._pending.accounted.get(blob.sha256, 0))
        if whole.is_file() and not untold:
            return
        before, started_at = self.source.counted(), time.monotonic()
        try:
            self.source.fetch(blob, attempt=self._pending.attempt)
        finally:
            spent = self.source.counted() - before
            if spent.requests or untold:
                detail = {
                    "artifact": blob.sha256,
                    "way": way,
                    "bytes_received": spent.received + untold,
                    "bytes_sent": spent.sent,
                    "complete": whole.is_file(),
                    "requests": spent.requests,
                    "duration_s": round(time.monotonic() - started_at, 3),
                }
                accounted = {**self._pending.accounted, blob.sha256: self.layout.received_bytes(blob.sha256)}
                self._advance(replace(self._pending, accounted=MappingProxyType(accounted)), ("transferred", detail))

    def _fail_offer(self, setback: Setback) -> None:
        """Back to the choice, without this way."""
        pending = self._pending
        failed = (*pending.failed_offers, self._offer.sha256)
        self._advance(replace(pending, stage=Stage.NEW, failed_offers=failed, setback=setback))

    # Applying

    def _apply(self) -> None:
        if self._offer.way is Way.PREVIOUS:
            self._check_previous()
            return
        target, offer = self._pending.target, self._offer
        complete = slots.is_complete(self.layout.line(self.model), target.sha256)
        contract = slots.find_contract(self.layout, self.config.models, target.contract.sha256)
        if not complete and (contract is None or not self._bytes_are_here(offer)):
            # Somebody tidied up below us, or the file system lost them: fetch what is missing.
            self._advance(replace(self._pending, stage=Stage.CHOSEN))
            return
        built = slots.Built(0.0, None)
        if not complete and contract is not None:
            base = None if offer.base is None else slots.find_model(self.layout, self.config.models, offer.base)
            try:
                built = slots.build(
                    self.layout, self.model, target, offer, base=base, contract=contract, limits=self.config.children
                )
            except ApplyFailed as error:
                self._fail_offer(Setback("apply", error.reason, error.detail))
                return
        detail = {
            "way": offer.way,
            "duration_s": round(built.duration_s, 3),
            "peak_memory_bytes": built.peak_memory_bytes,
        }
        self._advance(replace(self._pending, stage=Stage.STAGED), ("applied", detail))

    def _bytes_are_here(self, offer: Offer) -> bool:
        building = self.layout.line(self.model).building(self._pending.target.sha256)
        return self.layout.downloaded(offer.sha256).is_file() or (building / MODEL_FILE).is_file()

    def _check_previous(self) -> None:
        """A step back is taken at once, after a look at the file: it was healthy here, but is it still?"""
        sha256 = self._pending.target.sha256
        paths = self.layout.line(self.model)
        if slots.is_complete(paths, sha256):
            self._advance(replace(self._pending, stage=Stage.CHECKED))
            return
        log.error("previous_damaged", extra={"model": self.model, "sha256": sha256})
        setback = Setback("verify", "previous-damaged", "the previous model's file is damaged")
        damaged = replace(self._pending, stage=Stage.NEW, setback=setback)
        self._commit(replace(self.state, previous=None, pending=damaged))
        slots.discard(paths, sha256)

    # Checking and switching

    def _smoke(self) -> None:
        pending = self._pending
        # Written down first: a model that takes the machine down is not run for ever.
        self._advance(replace(pending, smoke_runs=pending.smoke_runs + 1))
        slot = self.layout.line(self.model).slot(pending.target.sha256)
        samples = pending.target.sample_set
        try:
            passed = smoke.run(
                slot / MODEL_FILE,
                slot / CONTRACT_FILE,
                None if samples is None else self.layout.sample_set(samples.sha256),
                pending.target.tolerances,
                limits=self.config.children,
            )
        except SmokeFailed as error:
            self._give_up(Setback("smoke", error.reason, error.detail), permanent=not smoke.is_transient(error))
            return
        detail = {"samples": passed.samples, "max_abs_error": passed.max_abs_error, "agreement": passed.agreement}
        self._advance(replace(self._pending, stage=Stage.CHECKED), ("smoke_passed", detail))

    def _activate(self) -> None:
        """State that names the previous model is durable before the link is replaced by one rename."""
        if self._pending.stage is not Stage.SWITCHING:
            self._advance(replace(self._pending, stage=Stage.SWITCHING, replaces=self.state.current))
        self.layout.line(self.model).switch_current(self._pending.target.sha256)
        self._complete_switch(self._pending)

    def _complete_switch(self, pending: Pending) -> None:
        """Tell the serving code, then write down that it is done: told twice is better than never."""
        self._call_hook(pending)
        sha256 = pending.target.sha256
        stepped_back = pending.offer is not None and pending.offer.way is Way.PREVIOUS
        due = None if stepped_back or not self.config.bench.enabled else DueBenchmark(sha256, pending.attempt)
        line = LineState(
            current=sha256,
            previous=pending.replaces,
            pending=None,
            failures=tuple(failure for failure in self.state.failures if failure.sha256 != sha256),
            benchmark=due,
        )
        self._commit(line, ("activated", {"previous": pending.replaces}))

    def _call_hook(self, pending: Pending) -> None:
        """Run the local hook; its failure is logged and undoes nothing."""
        if not self.config.post_activate:
            return
        current = self.layout.line(self.model).current
        facts = {
            "SMALLFLEET_MODEL": self.model,
            "SMALLFLEET_CURRENT": str(current),
            "SMALLFLEET_SHA256": pending.target.sha256,
            "SMALLFLEET_VERSION": pending.target.version,
            "SMALLFLEET_VARIANT": pending.target.variant,
        }
        try:
            ended = children.run(self.config.post_activate, timeout_s=self.config.children.timeout_s, extra=facts)
        except OSError as error:
            log.warning("hook_failed", extra={"model": self.model, "why": str(error)})
            return
        if ended.returncode != 0:
            why = "timeout" if ended.returncode is None else f"exit {ended.returncode}: {ended.stderr_end[-200:]}"
            log.warning("hook_failed", extra={"model": self.model, "why": why})

    # Failing

    def _give_up(self, setback: Setback, *, permanent: bool) -> None:
        """Close the attempt and remember why, so that it is not begun again at once, or at all."""
        self.gave_up = True
        pending = self._pending
        key = (pending.target.sha256, pending.rollout)
        earlier = self.state.failure_of(*key)
        times = 1 + (earlier.times if earlier is not None else 0)
        failure = Failure(*key, setback.reason, permanent, times, self.clock.now())
        others = tuple(one for one in self.state.failures if (one.sha256, one.rollout) != key)
        self._close_failed(setback, failures=(*others, failure)[-MAX_FAILURES_KEPT:], permanent=permanent)

    def _close_failed(
        self, setback: Setback, *, failures: tuple[Failure, ...] | None = None, permanent: bool = False
    ) -> None:
        detail = {
            "stage": setback.stage,
            "reason": setback.reason,
            "detail": setback.detail[:500],
            "permanent": permanent,
        }
        kept = self.state.failures if failures is None else failures
        self._commit(replace(self.state, pending=None, failures=kept), ("failed", detail))


def _setback_of(error: RequestRefused | StepFailed) -> Setback:
    """Why a transfer failed for good.

    Raises:
        Unauthenticated: that is no fault of the artifact.
    """
    if isinstance(error, Unauthenticated):
        raise error
    if isinstance(error, RequestRefused):
        return Setback("download", error.problem, str(error))
    return Setback("download", error.reason, error.detail)
