"""Counting bytes: the agent's own count, and what this server sent. Both only grow, by `F()`, on one row per device, attempt and artifact."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce, Least

from fleet.devices.models import Device
from fleet.ledger.models import LedgerEntry

# Where a row's counts stop: far beyond any device, and so far below the columns' ends that neither a row nor a rollout's sum can pass those.
MAX_BYTES = 2**46
MAX_REQUESTS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer as the agent counted it.

    Attributes:
        wire_bytes: HTTP bytes both ways, headers included.
        requests: how many requests it took.
    """

    artifact_sha256: str
    way: str
    wire_bytes: int
    requests: int


def add_agent_transfers(*, device: Device, attempt_id: UUID, transfers: Iterable[Transfer]) -> None:
    """Add transfers to the ledger. Call it in the transaction that takes down the event they came with.

    What a device says is not believed beyond the columns: an overflow would refuse the delivery, which the device would send again for ever.
    """
    for transfer in transfers:
        entry = _entry(device.pk, attempt_id, transfer.artifact_sha256)
        LedgerEntry.objects.filter(**entry).update(
            way=transfer.way,
            agent_bytes=_grown("agent_bytes", transfer.wire_bytes, MAX_BYTES),
            requests=_grown("requests", transfer.requests, MAX_REQUESTS),
        )


def _grown(field: str, more: int, most: int) -> CombinedExpression:
    """The column plus `more`, at most `most`; no step in between is more than that."""
    more = min(more, most)
    return Least(F(field), Value(most - more)) + Value(more)


@transaction.atomic
def count_served(*, device_id: UUID, attempt_id: UUID, artifact_sha256: str, bytes_sent: int, redirected: bool) -> None:
    """Add what this server sent to a device; a redirect leaves the server's count `null`, since others carried the bytes."""
    entry = _entry(device_id, attempt_id, artifact_sha256)
    if not redirected:
        LedgerEntry.objects.filter(**entry).update(server_bytes=Coalesce(F("server_bytes"), Value(0)) + bytes_sent)


def _entry(device_id: UUID, attempt_id: UUID, artifact_sha256: str) -> dict[str, UUID | str]:
    """The key of the row, which is there afterwards whoever made it."""
    key: dict[str, UUID | str] = {
        "device_id": device_id,
        "attempt_id": attempt_id,
        "artifact_sha256": artifact_sha256,
    }
    LedgerEntry.objects.bulk_create([LedgerEntry(**key)], ignore_conflicts=True)
    return key
