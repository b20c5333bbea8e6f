"""Hears from the registry what it served to whom."""

from typing import Any
from uuid import UUID

from access.actors import Actor
from fleet.ledger.services import count_served


def on_artifact_served(
    *, sha256: str, bytes_sent: int, actor: Actor, attempt: UUID | None, redirected: bool, **_: Any
) -> None:
    """Count bytes served to a device in an attempt. Others, and a device that names no attempt, have no ledger."""
    if actor.kind == "device" and attempt is not None:
        count_served(
            device_id=UUID(actor.id),
            attempt_id=attempt,
            artifact_sha256=sha256,
            bytes_sent=bytes_sent,
            redirected=redirected,
        )
