"""Building one patch in a worker: claim it, encode in a child, prove it in another, keep it or say why not.

The worker may be killed at any moment. So a claim is a lease of `LEASE`, which a thread of the worker extends for as long as
the build goes on, however long that is; one that ran out is taken over, and only the holder of the newest claim writes the
outcome. A patch that is made again with another effort stays ready, and offered, until the new one is there.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from access.actors import SYSTEM
from access.errors import ProblemError
from registry.children import ChildFailed, Limits, run_child
from registry.models import Artifact, Patch
from registry.storage import Staged, store
from registry.uploads import keep

log = logging.getLogger(__name__)

MAX_TRIES = 3
ENCODE_TIMEOUT_S = 3600
VERIFY_TIMEOUT_S = 960
LEASE = timedelta(seconds=150)
"""How long a claim outlives its worker's last sign of life: four beats, each of which may wait 20 s for SQLite's write lock."""
BEAT_S = 30.0
REMADE = Q(state=Patch.State.READY) & ~Q(wanted_effort="") & ~Q(wanted_effort=F("effort"))
"""Ready patches that somebody wants made again, with another effort."""
_CHILD = "registry.deltas.child"
_ENCODE_BASE_BYTES = 768 * 1024**2
_ENCODE_TIMES = 6
_VERIFY_BYTES = 768 * 1024**2
_PATCH_EXTRA_BYTES = 1024**2


class BuildFailed(Exception):
    """The patch could not be built; the message is kept with it."""


@dataclass(frozen=True, slots=True)
class Built:
    """What was made, as the proving child says."""

    sha256: str
    size_bytes: int
    base_sha256: str | None
    effort: str


def claim_patch(*, patch_id: int) -> Patch | None:
    """Take a patch that is wanted, or whose worker is gone; None if somebody else has it or it is done."""
    now = timezone.now()
    claim = {"claimed_at": now, "leased_until": now + LEASE, "tries": F("tries") + 1, "failure": ""}
    open_patch = Patch.objects.filter(pk=patch_id, tries__lt=MAX_TRIES)
    free = Q(leased_until=None) | Q(leased_until__lt=now)
    taken = open_patch.filter(Q(state=Patch.State.WANTED) | Q(free, state=Patch.State.BUILDING)).update(
        **claim, state=Patch.State.BUILDING
    ) or open_patch.filter(REMADE, free).update(**claim)
    return Patch.objects.select_related("base", "target").get(pk=patch_id) if taken else None


def build_patch(*, patch_id: int) -> Patch | None:
    """Build a patch if it is there to be claimed; returns it with its outcome, or None.

    A failure leaves it `wanted` until its third try, then `failed`; it never raises for the files' sake. A ready one that should be made
    again keeps what it has where that fails, or comes out no smaller.
    """
    patch = claim_patch(patch_id=patch_id)
    if patch is None:
        return None
    started = time.monotonic()
    try:
        with lease_kept(patch):
            outcome = _build(patch)
    except (BuildFailed, ChildFailed, ProblemError, OSError) as error:
        outcome = _failure(patch, error)
    _conclude(patch, outcome, time.monotonic() - started)
    return patch


def _claimed(patch: Patch) -> QuerySet[Patch]:
    """The patch's row for as long as this claim of it is the newest one."""
    return Patch.objects.filter(Q(state=Patch.State.BUILDING) | REMADE, pk=patch.pk, claimed_at=patch.claimed_at)


@contextmanager
def lease_kept(patch: Patch) -> Iterator[None]:
    """Extend the claim's lease while the block runs, from a thread of its own: the block waits for children and for the store."""
    ended = threading.Event()

    def beat() -> None:
        try:
            while not ended.wait(BEAT_S):
                _extend_lease(patch)
        finally:
            connections.close_all()

    thread = threading.Thread(target=beat, name=f"lease of patch {patch.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _extend_lease(patch: Patch) -> None:
    try:
        _claimed(patch).update(leased_until=timezone.now() + LEASE)
    except DatabaseError:  # the next beat tries again; a lease that runs out costs a second build, no more
        log.exception("lease_not_extended", extra={"patch": patch.pk})


def _build(patch: Patch) -> dict[str, Any]:
    """Make, prove and keep the patch; returns the fields of its outcome."""
    is_remade = patch.state == Patch.State.READY
    with _files(patch) as (base, target, staged):
        built = _encode(base, target, staged, patch)
        outcome: dict[str, Any] = {"size_bytes": built.size_bytes, "effort": built.effort}
        # Where a general compressor beats the base's help, the patch needs no base and the packed one is the same.
        if built.size_bytes >= patch.target.size_bytes or (patch.base and built.base_sha256 is None):
            return {"wanted_effort": ""} if is_remade else {**outcome, "state": Patch.State.USELESS}
        if is_remade and built.size_bytes >= (patch.size_bytes or 0):
            return {"wanted_effort": ""}
        artifact, _ = keep(
            actor=SYSTEM,
            staged=staged,
            sha256=built.sha256,
            size_bytes=built.size_bytes,
            kind=Artifact.Kind.PATCH,
        )
        return {**outcome, "state": Patch.State.READY, "artifact": artifact}


@contextmanager
def _files(patch: Patch) -> Iterator[tuple[Path | None, Path, Staged]]:
    """The base, the target and a place for the patch; what a killed encoder left beside that place is removed."""
    with ExitStack() as stack:
        base = stack.enter_context(store().as_file(patch.base.sha256)) if patch.base else None
        target = stack.enter_context(store().as_file(patch.target.sha256))
        staged = stack.enter_context(store().stage())
        staged.finish()  # the encoder replaces the file by one of its own, synced already
        try:
            yield base, target, staged
        finally:
            for partial in staged.path.parent.glob(f".{staged.path.name}.*"):
                partial.unlink(missing_ok=True)


def _encode(base: Path | None, target: Path, staged: Staged, patch: Patch) -> Built:
    plain_bytes = patch.target.size_bytes + (patch.base.size_bytes if patch.base else 0)
    encoding = Limits(
        memory_bytes=_ENCODE_BASE_BYTES + _ENCODE_TIMES * plain_bytes,
        timeout_s=ENCODE_TIMEOUT_S,
        file_bytes=patch.target.size_bytes * 2 + _PATCH_EXTRA_BYTES,
        sandbox_required=settings.SMALLFLEET_SANDBOX_REQUIRED,
    )
    proving = Limits(
        memory_bytes=_VERIFY_BYTES,
        timeout_s=VERIFY_TIMEOUT_S,
        sandbox_required=settings.SMALLFLEET_SANDBOX_REQUIRED,
    )
    base_argument = str(base.resolve()) if base else "-"
    patch_path = str(staged.path.resolve())
    files = [base_argument, str(target.resolve()), patch_path]
    made = json.loads(run_child(_CHILD, ["make", *files, patch.wanted_effort], limits=encoding))
    proof = json.loads(run_child(_CHILD, ["verify", base_argument, patch_path], limits=proving))
    _check_proof(proof, patch)
    return Built(proof["sha256"], proof["size_bytes"], proof["base_sha256"], made["effort"])


def _check_proof(proof: dict[str, Any], patch: Patch) -> None:
    """What was decoded has to be this patch's target, from this patch's base or none, in this patch's format."""
    base_sha256 = patch.base.sha256 if patch.base else None
    if proof["target_sha256"] != patch.target.sha256 or proof["base_sha256"] not in {None, base_sha256}:
        raise BuildFailed(
            f"the encoder made {proof['base_sha256']} -> {proof['target_sha256']}, which nobody asked for"
        )
    if proof["format"] != patch.patch_format:
        raise BuildFailed(f"the encoder wrote format {proof['format']}, wanted is {patch.patch_format}")


def _failure(patch: Patch, error: Exception) -> dict[str, Any]:
    words = f"{type(error).__name__}: {error}"[:500]
    is_last = patch.tries >= MAX_TRIES
    if patch.state == Patch.State.READY:
        return {"failure": words, **({"wanted_effort": ""} if is_last else {})}
    return {"failure": words, "state": Patch.State.FAILED if is_last else Patch.State.WANTED}


def _conclude(patch: Patch, outcome: dict[str, Any], build_s: float) -> None:
    """Write the outcome, unless another worker has taken the patch over meanwhile."""
    fields = {**outcome, "leased_until": None}
    if "effort" in outcome or patch.state != Patch.State.READY:  # else what stands there is of the patch that is kept
        fields |= {"build_s": round(build_s, 3), "built_at": timezone.now()}
    _claimed(patch).update(**fields)
    patch.refresh_from_db()
