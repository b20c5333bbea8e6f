"""The chain: each sealed record's digest covers the one before, so that whoever keeps the newest digest can tell a change of any older record.

Records are written in the transaction of the change; the chain has one head, and a lock on it held through those transactions would make
them wait for each other, or in a circle. So a record gets its place afterwards: right after the commit, and by the worker what a crash left
without. A sealer holds no other lock. The layout is in docs/audit.md; `client.auditing` reads it without this server.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from access.audit.models import AuditRecord, AuditSeal

FIRST_PREVIOUS = "0" * 64
BATCH = 500
SEALED_WITHIN = timedelta(hours=1)
"""A record that waits longer for its seal is worth a warning: no worker runs."""

_LOCK = 0x736D616C6C  # of PostgreSQL's advisory locks, which are one number space per database


@dataclass(frozen=True, slots=True)
class Sealed:
    """One link of the chain: a line of the export."""

    position: int
    previous_sha256: str
    sha256: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends: whoever keeps it elsewhere can tell a chain that was cut or made anew."""

    position: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.position}:{self.sha256}"


EMPTY = Head(0, FIRST_PREVIOUS)


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look at the whole chain found.

    Attributes:
        head: where it ends.
        breaks: what is wrong, in words; empty if it holds.
        waiting: records without a place in it yet.
        waiting_since: of the oldest of them.
    """

    head: Head
    breaks: list[str]
    waiting: int
    waiting_since: datetime | None

    @property
    def waits_too_long(self) -> bool:
        """Whether a record should have been sealed long ago."""
        return self.waiting_since is not None and self.waiting_since < timezone.now() - SEALED_WITHIN


def document_of(record: AuditRecord) -> dict[str, Any]:
    """The record as the digest covers it and the export writes it."""
    return {
        "id": record.pk,
        "at": record.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "actor": record.actor,
        "actor_name": record.actor_name,
        "action": record.action,
        "subject": record.subject,
        "before": record.before,
        "after": record.after,
        "detail": record.detail,
        "address": record.address,
        "request_id": record.request_id,
    }


def digest_of(position: int, previous_sha256: str, record: dict[str, Any]) -> str:
    """SHA-256, in hex, of the link's canonical JSON: keys sorted, no space, UTF-8."""
    link = {"position": position, "previous_sha256": previous_sha256, "record": record}
    text = json.dumps(link, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256(text.encode()).hexdigest()


def seal_records(*, first_id: int = 0) -> int:
    """Give every committed record from `first_id` on its place in the chain; returns how many got one.

    Call it outside of any transaction: the lock is held for one batch and by nobody who waits for something else.
    """
    sealed = 0
    while AuditRecord.objects.filter(seal=None, pk__gte=first_id).exists():
        sealed += _seal_batch(first_id)
    return sealed


@transaction.atomic(durable=True)
def _seal_batch(first_id: int) -> int:
    _hold_head()
    end = head()
    seals = []
    for record in AuditRecord.objects.filter(seal=None, pk__gte=first_id).order_by("pk")[:BATCH]:
        digest = digest_of(end.position + 1, end.sha256, document_of(record))
        seals.append(AuditSeal(position=end.position + 1, record=record, previous_sha256=end.sha256, sha256=digest))
        end = Head(end.position + 1, digest)
    AuditSeal.objects.bulk_create(seals)
    return len(seals)


def _hold_head() -> None:
    """Be the only sealer until the transaction ends. SQLite's transactions are IMMEDIATE: theirs is the only one that writes."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def head() -> Head:
    """Where the chain ends now."""
    newest = AuditSeal.objects.order_by("-position").values_list("position", "sha256").first()
    return Head(*newest) if newest else EMPTY


def links(*, first: int = 1) -> Iterator[Sealed]:
    """The chain from position `first` on, read in batches: no cursor or transaction stays open while a slow client takes them."""
    while True:
        batch = list(
            AuditSeal.objects.filter(position__gte=first).select_related("record").order_by("position")[:BATCH]
        )
        for seal in batch:
            yield Sealed(seal.position, seal.previous_sha256, seal.sha256, document_of(seal.record))
        if len(batch) < BATCH:
            return
        first = batch[-1].position + 1


def verify(*, kept: Head | None = None) -> Findings:
    """Go through the whole chain; with `kept`, a head that was kept elsewhere, also see that it is still part of it."""
    waiting = AuditRecord.objects.filter(seal=None).order_by("pk")
    end, breaks = follow(links(), kept=kept)
    return Findings(end, breaks, waiting.count(), waiting.values_list("at", flat=True).first())


def follow(chain: Iterable[Sealed], *, kept: Head | None = None) -> tuple[Head, list[str]]:
    """Where the chain ends, and each place where it breaks, in words."""
    end, breaks, kept_seen = EMPTY, list[str](), kept is None or kept == EMPTY
    for link in chain:
        breaks += _breaks_at(end, link)
        if kept is not None and link.position == kept.position:
            kept_seen = True
            if link.sha256 != kept.sha256:
                breaks.append(
                    f"position {link.position} has the digest {link.sha256}, kept was {kept.sha256}: the chain was made anew"
                )
        end = Head(link.position, link.sha256)
    if kept is not None and not kept_seen:
        breaks.append(f"the chain ends at position {end.position}, kept was {kept.position}: its end was cut off")
    return end, breaks


def _breaks_at(end: Head, link: Sealed) -> Iterator[str]:
    if link.position != end.position + 1:
        yield f"position {link.position} follows {end.position}: what stood between was taken out"
    elif link.previous_sha256 != end.sha256:
        yield (
            f"position {link.position} continues another chain: its previous digest is {link.previous_sha256}, "
            f"that of position {end.position} is {end.sha256}"
        )
    if digest_of(link.position, link.previous_sha256, link.record) != link.sha256:
        yield f"position {link.position} (record {link.record['id']}) was changed after it was sealed: its digest does not fit its content"
