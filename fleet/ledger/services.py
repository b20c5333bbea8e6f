"""Counting bytes: the agent's own count, and what this server sent. Both only grow, by `F()`, on one row per device, attempt and artifact."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from fleet.devices.models import Device
from fleet.ledger.models import LedgerEntry


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
    """Add transfers to the ledger. Call it in the transaction that takes down the event they came with."""
    for transfer in transfers:
        entry = _entry(device.pk, attempt_id, transfer.artifact_sha256)
        LedgerEntry.objects.filter(**entry).update(
            way=transfer.way,
            agent_bytes=F("agent_bytes") + transfer.wire_bytes,
            requests=F("requests") + transfer.requests,
        )


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
