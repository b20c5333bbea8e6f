"""What a device reports about an attempt, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class EventKind(StrEnum):
    """The facts of an attempt; docs/wire.md says what each carries."""

    STARTED = "started"
    TRANSFERRED = "transferred"
    FALLBACK = "fallback"
    APPLIED = "applied"
    SMOKE_PASSED = "smoke_passed"
    SHADOWED = "shadowed"
    ACTIVATED = "activated"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One event as the agent sent it, checked for its shape.

    Attributes:
        attempt: made by the agent; with `seq` unique.
        at: by the device's clock.
        model: the model line's name.
        target: sha256 of the artifact the attempt is for.
        rollout: who ordered it; None for a bundle.
        detail: the fields of its kind, and no others.
    """

    attempt: UUID
    seq: int
    kind: EventKind
    at: datetime
    model: str
    target: str
    rollout: UUID | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that will never be accepted."""

    attempt: str | None
    seq: int | None
    type: str
    detail: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch of events."""

    accepted: int = 0
    repeated: int = 0
    refused: tuple[Refusal, ...] = field(default=())
