"""Bringing what an attempt needs, and telling what it cost: each byte once, of transfers that failed or were killed too."""

import time
from dataclasses import dataclass, replace
from types import MappingProxyType

from agent import disk, slots
from agent.connection import Counted
from agent.errors import BundleInvalid, DiskRefused, RequestRefused, TransferRejected, Unauthenticated
from agent.layout import Layout
from agent.record import Event, Record
from agent.source import Source
from agent.state import Setback
from agent.wire import Blob, Way

CONTRACT, SAMPLE_SET = "contract", "sample-set"
# Manifest, state and events of one attempt, each file in blocks of its own, twice while it is replaced.
RESERVED_BYTES = 1 << 18


class NotGiven(Exception):
    """The source will not give an artifact, or gives other bytes; `setback` says why."""

    def __init__(self, setback: Setback) -> None:
        self.setback = setback
        super().__init__(setback.detail)


@dataclass(slots=True)
class Fetching:
    """Brings the artifacts of one line's attempt to `downloads/` and `samples/`."""

    record: Record
    layout: Layout
    source: Source
    models: tuple[str, ...]

    def bring_companions(self) -> None:
        """Contract and sample set: small, and without them the model is no use.

        Raises:
            NotGiven: one of them cannot be had.
            Paused, ServerUnavailable, Unauthenticated, OSError: the attempt goes on later.
        """
        for blob, way in self._missing_companions():
            self._bring(blob, way)
            if way == SAMPLE_SET:
                self.layout.keep_sample_set(blob.sha256)

    def check_room(self) -> None:
        """Look whether the disk takes the attempt, before a byte is paid for.

        Raises:
            DiskRefused: it does not.
        """
        needed_bytes, free_bytes = self.needed_bytes(), disk.free_bytes(self.layout.root)
        if free_bytes is not None and free_bytes < needed_bytes:
            detail = f"{needed_bytes} bytes needed, {free_bytes} available in {self.layout.root}"
            raise DiskRefused("disk-full", detail)

    def needed_bytes(self) -> int:
        """Room for what is still to be fetched, for the model that a patch becomes, and for what is written beside it."""
        offer, target = self.record.offer, self.record.pending.target
        needed = target.contract.size_bytes + RESERVED_BYTES
        needed += sum(self._left_bytes(blob) for blob, _way in self._missing_companions())
        if not slots.is_built(self.layout.line(self.record.model), target.sha256):
            needed += self._left_bytes(Blob(offer.sha256, offer.size_bytes))
            needed += 0 if offer.way is Way.RAW else target.size_bytes  # a raw download becomes the slot's file itself
        return needed

    def _left_bytes(self, blob: Blob) -> int:
        return max(0, blob.size_bytes - self.layout.received_bytes(blob.sha256))

    def _missing_companions(self) -> list[tuple[Blob, str]]:
        target, missing = self.record.pending.target, []
        if slots.find_contract(self.layout, self.models, target.contract.sha256) is None:
            missing.append((target.contract, CONTRACT))
        samples = target.sample_set
        # Kept for as long as some model needs it, so it may have rotted, and a good model would fail on it.
        if samples is not None and not slots.has_digest(self.layout.sample_set(samples.sha256), samples.sha256):
            missing.append((samples, SAMPLE_SET))
        return missing

    def bring_offer(self) -> None:
        """The bytes of the chosen way; nothing, when the target's model is there already.

        Raises:
            As `bring_companions`.
        """
        offer, target = self.record.offer, self.record.pending.target
        if not slots.is_built(self.layout.line(self.record.model), target.sha256):
            self._bring(Blob(offer.sha256, offer.size_bytes), offer.way)

    def _bring(self, blob: Blob, way: str) -> None:
        # Bytes that a killed process received and never told of are on disk; their headers are lost.
        received = self.layout.received_bytes(blob.sha256) if self.source.is_link else 0
        untold = max(0, received - self.record.pending.accounted.get(blob.sha256, 0))
        if self.layout.downloaded(blob.sha256).is_file() and not untold:
            return
        before, started_at = self.source.counted(), time.monotonic()
        try:
            self.source.fetch(blob, attempt=self.record.pending.attempt)
        except (RequestRefused, TransferRejected, BundleInvalid) as error:
            if isinstance(error, Unauthenticated):  # that is no fault of the artifact
                raise
            raise NotGiven(_setback_of(error)) from error
        finally:
            spent = self.source.counted() - before
            if spent.requests or untold:
                self._tell(blob, self._transferred(blob, way, spent, untold, time.monotonic() - started_at))

    def _tell(self, blob: Blob, event: Event) -> None:
        pending = self.record.pending
        accounted = {**pending.accounted, blob.sha256: self.layout.received_bytes(blob.sha256)}
        self.record.advance(replace(pending, accounted=MappingProxyType(accounted)), event)

    def _transferred(self, blob: Blob, way: str, spent: Counted, untold: int, duration_s: float) -> Event:
        return "transferred", {
            "artifact": blob.sha256,
            "way": way,
            "bytes_received": spent.received + untold,
            "bytes_sent": spent.sent,
            "complete": self.layout.downloaded(blob.sha256).is_file(),
            "requests": spent.requests,
            "duration_s": round(duration_s, 3),
        }


def _setback_of(error: RequestRefused | TransferRejected | BundleInvalid) -> Setback:
    if isinstance(error, RequestRefused):
        return Setback("download", error.problem, str(error))
    return Setback("download", error.reason, error.detail)
