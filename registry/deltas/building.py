"""Building one patch in a worker: claim it, encode in a child, prove it in another, keep it or say why not.

The worker may be killed at any moment: a claim that is too old is taken over, and only the holder of the newest claim
writes the outcome.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db.models import F, Q
from django.utils import timezone

from access.actors import SYSTEM
from access.errors import ProblemError
from registry.children import ChildFailed, Limits, run_child
from registry.models import Artifact, Patch
from registry.storage import Staged, store
from registry.uploads import keep

MAX_TRIES = 3
ENCODE_TIMEOUT_S = 3600
VERIFY_TIMEOUT_S = 960
STALE_CLAIM = timedelta(seconds=ENCODE_TIMEOUT_S + VERIFY_TIMEOUT_S + 600)
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
    """Take a patch that is wanted, or whose claim is too old; None if somebody else has it or it is done."""
    now = timezone.now()
    stale = Q(state=Patch.State.BUILDING, claimed_at__lt=now - STALE_CLAIM)
    free = Patch.objects.filter(Q(state=Patch.State.WANTED) | stale, pk=patch_id, tries__lt=MAX_TRIES)
    if not free.update(state=Patch.State.BUILDING, claimed_at=now, tries=F("tries") + 1, failure=""):
        return None
    return Patch.objects.select_related("base", "target").get(pk=patch_id)


def build_patch(*, patch_id: int) -> Patch | None:
    """Build a patch if it is there to be claimed; returns it with its outcome, or None.

    A failure leaves it `wanted` until its third try, then `failed`; it never raises for the files' sake.
    """
    patch = claim_patch(patch_id=patch_id)
    if patch is None:
        return None
    started = time.monotonic()
    try:
        outcome = _build(patch)
    except (BuildFailed, ChildFailed, ProblemError, OSError) as error:
        outcome = _failure(patch, error)
    _conclude(patch, outcome, time.monotonic() - started)
    return patch


def _build(patch: Patch) -> dict[str, Any]:
    """Make, prove and keep the patch; returns the fields of its outcome."""
    with _files(patch) as (base, target, staged):
        built = _encode(base, target, staged, patch)
        outcome: dict[str, Any] = {"size_bytes": built.size_bytes, "effort": built.effort}
        # Where a general compressor beats the base's help, the patch needs no base and the packed one is the same.
        if built.size_bytes >= patch.target.size_bytes or (patch.base and built.base_sha256 is None):
            return {**outcome, "state": Patch.State.USELESS}
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
    )
    proving = Limits(memory_bytes=_VERIFY_BYTES, timeout_s=VERIFY_TIMEOUT_S)
    base_argument = str(base.resolve()) if base else "-"
    patch_path = str(staged.path.resolve())
    made = json.loads(run_child(_CHILD, ["make", base_argument, str(target.resolve()), patch_path], limits=encoding))
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
    state = Patch.State.FAILED if patch.tries >= MAX_TRIES else Patch.State.WANTED
    return {"state": state, "failure": f"{type(error).__name__}: {error}"[:500]}


def _conclude(patch: Patch, outcome: dict[str, Any], build_s: float) -> None:
    """Write the outcome, unless another worker has taken the patch over meanwhile."""
    fields = {**outcome, "build_s": round(build_s, 3), "built_at": timezone.now()}
    Patch.objects.filter(pk=patch.pk, state=Patch.State.BUILDING, claimed_at=patch.claimed_at).update(**fields)
    patch.refresh_from_db()
