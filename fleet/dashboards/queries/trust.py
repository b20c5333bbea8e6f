"""Who signs a model line, until when that stands, and what to do before it does not."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Final

from django.db.models import Q
from django.utils import timezone

from access.actors import Actor
from registry.models import MetadataFile, ModelLine
from registry.trust.queries import TrustState, trust_state
from registry.trust.verification import MAX_TARGETS
from registry.visibility import line_condition

SOON: Final = {
    "root": timedelta(days=30),
    "targets": timedelta(days=7),
    "snapshot": timedelta(days=10),
    "timestamp": timedelta(days=2),
}
"""From when on a page warns. The worker renews a snapshot 20 days before its end and a timestamp 6: so close to it, it stands still."""

SIGNERS: Final = {
    "root": "its owner's root key",
    "targets": "a publisher",
    "snapshot": "this server",
    "timestamp": "this server",
}
MOST_ENDING: Final = 10
"""More are as bad as ten, on the first page."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """The newest file of a role of a line; `state` is good, soon or expired, `command` renews it, empty where the worker does."""

    line: str
    role: str
    signer: str
    version: int
    expires_at: datetime
    state: str
    command: str


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key that signs for the line."""

    role: str
    keyid: str
    threshold: int


@dataclass(frozen=True, slots=True)
class TrustSection:
    """What the page of a model line says of its trust."""

    line: str
    state: TrustState
    files: list[FileRow]
    keys: list[KeyRow]
    most_live: int = MAX_TARGETS

    @property
    def warnings(self) -> list[FileRow]:
        """What has expired, and then what will."""
        return sorted((row for row in self.files if row.state != "good"), key=lambda row: row.expires_at)


def trust_section(model_line: ModelLine) -> TrustSection | None:
    """The trust of a line; None where it has none. Two queries."""
    state = trust_state(model_line)
    if state is None:
        return None
    now = timezone.now()
    files = [state.root, state.targets, state.snapshot, state.timestamp]
    return TrustSection(
        line=model_line.name,
        state=state,
        files=[_file_row(model_line.name, file, now) for file in files if file is not None],
        keys=[
            KeyRow(role, keyid, state.keys.roles[role].threshold)
            for role in ("root", "targets")
            for keyid in sorted(state.keys.roles[role].keyids)
        ],
    )


def ending_files(actor: Actor) -> list[FileRow]:
    """What has expired or soon will, of the lines that the actor may see, the earliest first. One query."""
    now = timezone.now()
    ends = [Q(role=role, expires_at__lt=now + span) for role, span in SOON.items()]
    ending = MetadataFile.objects.filter(reduce(or_, ends), line_condition(actor, "model_line"), superseded_at=None)
    files = ending.select_related("model_line").defer("content").order_by("expires_at", "pk")[:MOST_ENDING]
    return [_file_row(file.model_line.name, file, now) for file in files]


def _file_row(line: str, file: MetadataFile, now: datetime) -> FileRow:
    expired = file.expires_at <= now
    state = "expired" if expired else "soon" if file.expires_at - now < SOON[file.role] else "good"
    return FileRow(
        line=line,
        role=file.role,
        signer=SIGNERS[file.role],
        version=file.version,
        expires_at=file.expires_at,
        state=state,
        command=_command(line, file.role, expired=expired),
    )


def _command(line: str, role: str, *, expired: bool) -> str:
    if role == "root":
        return f"smallfleet trust renew {line} --root"
    if role == "targets":
        return f"smallfleet trust renew {line}{' --expired' if expired else ''}"
    return ""
