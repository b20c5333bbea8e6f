"""Removes what nobody refers to: staged files of dead uploads, stored files without a row, artifacts without a use.

A file and its row go in one transaction that holds the row's digest, and an upload of the same bytes looks for the file
after it has inserted the row: whichever comes second sees what the first did.
"""

import contextlib
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, ManyToOneRel, OuterRef, ProtectedError
from django.utils import timezone

from access.actors import SYSTEM
from access.audit.recording import record_audit
from registry.models import Artifact
from registry.storage import store
from registry.storage.base import sweep_staging


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed."""

    staged: int
    files: int
    artifacts: int


def collect_orphans(*, older_than: timedelta) -> Collected:
    """Remove what has been without a use for longer than `older_than`, which must be longer than an upload takes."""
    return Collected(
        staged=len(sweep_staging(store().staging, older_than.total_seconds())),
        files=_collect_files(older_than),
        artifacts=_collect_artifacts(older_than),
    )


def _collect_files(older_than: timedelta) -> int:
    """Stored files without a row: their upload died between the store and the database."""
    limit = (timezone.now() - older_than).timestamp()
    old = [file.sha256 for file in store().files() if file.modified_at < limit]
    return sum(_delete_file_without_row(sha256) for sha256 in old)


def _delete_file_without_row(sha256: str) -> bool:
    try:
        with transaction.atomic():
            # Holds the digest: an upload that inserts it waits for us, and then finds its file missing.
            holder = Artifact.objects.create(sha256=sha256, size_bytes=1, kind=Artifact.Kind.PATCH)
            store().delete(sha256)
            holder.delete()
            record_audit(actor=SYSTEM, action="collect_file", subject=sha256)
    except (IntegrityError, FileNotFoundError):  # it has a row, or somebody else was faster
        return False
    return True


def _collect_artifacts(older_than: timedelta) -> int:
    unused = Artifact.objects.filter(created_at__lt=timezone.now() - older_than)
    for relation in _references():
        users = relation.related_model._base_manager.filter(**{relation.field.name: OuterRef("pk")})  # noqa: SLF001
        unused = unused.exclude(Exists(users))
    return sum(_delete_artifact(artifact) for artifact in unused.order_by("id"))


def _references() -> list[ManyToOneRel]:
    """Every foreign key to an artifact, those without a reverse name and those of other apps included."""
    fields = Artifact._meta.get_fields(include_hidden=True)  # noqa: SLF001 - Django's documented meta API
    return [field for field in fields if isinstance(field, ManyToOneRel)]


def _delete_artifact(artifact: Artifact) -> bool:
    try:
        with transaction.atomic():
            artifact.delete()
            before = {"kind": artifact.kind, "size_bytes": artifact.size_bytes}
            record_audit(actor=SYSTEM, action="collect_artifact", subject=artifact.sha256, before=before)
            with contextlib.suppress(FileNotFoundError):
                store().delete(artifact.sha256)
    except (ProtectedError, IntegrityError):  # it found a use meanwhile
        return False
    return True
