"""Uploads: a stream becomes an artifact, or nothing is left of it.

Order: cap by the announced length, then write and hash as it comes, compare length and digest, check in a child, put into
the store, and only then one short transaction. If the process dies before the store's rename, a staged file is left,
which `collect_orphans` removes; if it dies after it, a stored file without a row, which the same upload sent again adopts.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import IntegrityError, transaction

from access.actors import Actor
from access.audit.recording import record_audit
from access.grants import SOME
from access.models import Scope
from registry.errors import (
    ArtifactEmpty,
    ArtifactTooLarge,
    DigestMismatch,
    KindDiffers,
    StoreUnavailable,
    UploadIncomplete,
)
from registry.inspection.checks import inspect_model, inspect_samples
from registry.inspection.contracts import parse_contract
from registry.models import Artifact, Upload
from registry.storage import Staged, store

CHUNK_BYTES = 256 * 1024
UPLOADED_KINDS = (Artifact.Kind.MODEL, Artifact.Kind.CONTRACT, Artifact.Kind.SAMPLE_SET)


class Stream(Protocol):
    """Where the bytes come from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""


def store_upload(
    *, actor: Actor, stream: Stream, content_length: int, claimed_sha256: str, kind: Artifact.Kind
) -> tuple[Artifact, bool]:
    """Make an artifact of a stream; returns it, and whether it is new. Sending it again is harmless.

    Bytes that are already there are read and compared too: what is answered is true of what was sent, and the
    connection is left clean for the next request. A file that the store has lost is put back.

    Raises:
        ArtifactRefused: a subclass says why; nothing is left in the store.
        KindDiffers: the bytes are there as another kind of artifact.
        StoreFull: there is no room; nothing is left.
        InspectionFailed: the check could not run; nothing is left.
    """
    actor.requires(Scope.PUBLISH, model=SOME)
    artifact, created = _stored(actor, stream, content_length, claimed_sha256, kind)
    Upload.objects.bulk_create([Upload(artifact=artifact, actor=actor.label)], ignore_conflicts=True)
    return artifact, created


def _stored(
    actor: Actor, stream: Stream, content_length: int, claimed_sha256: str, kind: Artifact.Kind
) -> tuple[Artifact, bool]:
    _check_length(content_length, kind)
    present = Artifact.objects.filter(sha256=claimed_sha256).first()
    if present is not None and store().exists(claimed_sha256):
        _receive(stream, content_length, claimed_sha256, sink=None)
        return _of_kind(present, kind), False
    with store().stage() as staged:
        _receive(stream, content_length, claimed_sha256, sink=staged)
        staged.finish()
        static_cost = _inspect(staged.path, kind)
        return keep(
            actor=actor,
            staged=staged,
            sha256=claimed_sha256,
            size_bytes=content_length,
            kind=kind,
            static_cost=static_cost,
        )


def keep(
    *,
    actor: Actor,
    staged: Staged,
    sha256: str,
    size_bytes: int,
    kind: Artifact.Kind,
    static_cost: dict[str, Any] | None = None,
) -> tuple[Artifact, bool]:
    """Put a checked file into the store and make its row; if somebody else was faster, theirs is returned.

    Raises:
        KindDiffers: the bytes are there as another kind of artifact.
        StoreFull: there is no room.
        StoreUnavailable: the store does not answer, or the orphan collector took the file away just now.
    """
    store().commit(staged, sha256)
    try:
        with transaction.atomic():
            artifact = Artifact.objects.create(sha256=sha256, size_bytes=size_bytes, kind=kind, static_cost=static_cost)
            # The collector holds the digest's row while it deletes a file without one: after our insert, it is over.
            if not store().exists(sha256):
                raise StoreUnavailable(
                    "an old copy of these bytes was being removed at this moment; send the file again"
                )
            after = {"kind": kind, "size_bytes": size_bytes}
            record_audit(actor=actor, action="store_artifact", subject=sha256, after=after)
    except IntegrityError:
        return _of_kind(Artifact.objects.get(sha256=sha256), kind), False
    return artifact, True


def cap_bytes(kind: Artifact.Kind) -> int:
    """The most bytes an artifact of this kind may have."""
    caps: dict[str, int] = {
        Artifact.Kind.MODEL: settings.SMALLFLEET_MAX_MODEL_BYTES,
        Artifact.Kind.CONTRACT: settings.SMALLFLEET_MAX_CONTRACT_BYTES,
        Artifact.Kind.SAMPLE_SET: settings.SMALLFLEET_MAX_SAMPLE_SET_BYTES,
    }
    return caps[kind]


def _check_length(content_length: int, kind: Artifact.Kind) -> None:
    if content_length == 0:
        raise ArtifactEmpty("the upload has no bytes; look at the file that was sent")
    if content_length > cap_bytes(kind):
        raise ArtifactTooLarge(f"a {kind.value} may have {cap_bytes(kind)} bytes, this has {content_length}")


def _of_kind(artifact: Artifact, kind: Artifact.Kind) -> Artifact:
    if artifact.kind != kind:
        raise KindDiffers(f"these bytes are here as a {artifact.kind}, not as a {kind.value}")
    return artifact


def _receive(stream: Stream, content_length: int, claimed_sha256: str, *, sink: Staged | None) -> None:
    """Read the whole stream into `sink`, and compare its length and digest with what was announced."""
    digest = hashlib.sha256()
    received = 0
    for chunk in _chunks(stream, content_length):
        received += len(chunk)
        digest.update(chunk)
        if sink is not None:
            sink.write(chunk)
    if received != content_length:
        raise UploadIncomplete(f"expected {content_length} bytes, received {received}; send the file again")
    if digest.hexdigest() != claimed_sha256:
        raise DigestMismatch(
            f"expected sha256 {claimed_sha256}, received {digest.hexdigest()}; send the file again, or to its own digest"
        )


def _chunks(stream: Stream, content_length: int) -> Iterator[bytes]:
    """The stream up to its announced length; a connection that breaks ends it early."""
    left = content_length
    while left:
        try:
            chunk = stream.read(min(CHUNK_BYTES, left))
        except OSError as error:  # Django's UnreadablePostError is one
            raise UploadIncomplete(f"the connection broke {left} bytes before the end; send the file again") from error
        if not chunk:
            return
        left -= len(chunk)
        yield chunk


def _inspect(path: Path, kind: Artifact.Kind) -> dict[str, Any] | None:
    """Check the file by its kind; returns a model's static cost."""
    if kind == Artifact.Kind.MODEL:
        return inspect_model(path)
    if kind == Artifact.Kind.SAMPLE_SET:
        inspect_samples(path)
    else:
        parse_contract(path.read_bytes())
    return None
