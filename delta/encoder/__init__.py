"""Making a patch: reads both files, understands ONNX, tries, measures, and proves the result by decoding it.

Same files and effort, same patch bytes, on one machine: elsewhere eigenvectors may differ in their last bits. Memory is
linear in the files (they are mapped, and the coded streams kept), so it runs on a server or in CI, never on a device.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from delta import decoder
from delta.arrays import Octets
from delta.coders import zstd
from delta.effort import Effort
from delta.encoder.effort import SETTINGS
from delta.encoder.plan import draft_plain, draft_structured
from delta.errors import DeltaError, EncodingFailed, LimitExceeded
from delta.format import Identity
from delta.limits import Limits

__all__ = ["Effort", "EncodeReport", "encode"]


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """What was made: sizes in bytes, and how many bytes of the output each method restores (see `decoder.PatchInfo`)."""

    effort: Effort
    base: Identity | None
    target: Identity
    patch_bytes: int
    patch_sha256: str
    spans: dict[str, int]
    bytes_by_method: dict[str, int]

    @property
    def ratio(self) -> float:
        """Patch bytes by target bytes."""
        return self.patch_bytes / max(self.target.size_bytes, 1)


def encode(base: Path | None, new: Path, patch: Path, *, effort: Effort | None = None) -> EncodeReport:
    """Write at `patch` the bytes that restore `new` from `base`, or from nothing (packed), and prove it by decoding.

    `effort` is `max` for up to 16 MB of new file and `fast` above where none is given. `patch` is replaced in one
    rename.

    Raises:
        EncodingFailed: the patch would not restore `new`; none is written.
        OSError: a file cannot be read or written; likewise.
    """
    new_octets = _mapped(new)
    base_octets = None if base is None else _mapped(base)
    effort = effort or Effort.for_size(new_octets.size)
    partial = patch.parent / f".{patch.name}.{secrets.token_hex(8)}.partial"
    try:
        patch_sha256 = _write_first_that_fits(base, partial, _candidates(base_octets, new_octets, effort))
        info = decoder.read_info(partial, limits=_LIMITS)
        partial.replace(patch)
    finally:
        partial.unlink(missing_ok=True)
    return EncodeReport(
        effort=effort,
        base=info.base,
        target=info.target,
        patch_bytes=info.patch_bytes,
        patch_sha256=patch_sha256,
        spans=info.spans,
        bytes_by_method=info.bytes_by_method,
    )


_SMALL_BYTES = 1 << 14
"""Of a patch, up to which other ways with the text may be worth their time: of rungs they save some 300 bytes."""
_CLEARLY_SMALLER = 0.75
"""Share of what zstd needs at level 1, below which no level of it is tried; on weights they differ by a few percent."""
_CLEARLY_SMALLER_TEXT = 0.5
_MOSTLY = 0.1
"""With more text than this share of the file, the higher levels may do much better than level 1."""
_LIMITS = Limits(output_bytes=1 << 62, wall_s=24 * 3600.0)
"""What a patch may ask for: in memory and spans what every decoder allows by itself; size and time are the caller's."""


def _candidates(base: Octets | None, new: Octets, effort: Effort) -> Iterator[list[bytes]]:
    """Patches by structure and, where it might be smaller, one by a general compressor alone; the smallest first.

    A small patch is all text and index, so there other ways with the text are tried: they weigh against each other. Who
    refuses all of these, for their limits, is offered one with little to keep in memory, and one without structure.
    """
    settings = SETTINGS[effort]
    target = _identity(new)
    base_identity = None if base is None else _identity(base)
    draft = draft_structured(base, new, settings)
    found = [list(draft.serialise(base_identity, target))]
    size = _size(found[0])
    if size < _SMALL_BYTES and settings.hard_text and base is not None:
        other_ways = (replace(settings, whole_text=False), replace(settings, hard_text=False))
        found += [list(draft_structured(base, new, way).serialise(base_identity, target)) for way in other_ways]
    clearly = _CLEARLY_SMALLER if draft.text_bytes < _MOSTLY * new.size else _CLEARLY_SMALLER_TEXT
    if size >= clearly * len(zstd.compress(new.data, level=1)):
        found.append(list(draft_plain(new, settings).serialise(None, target)))
    yield from sorted(found, key=_size)
    frugal = SETTINGS[Effort.FAST]
    yield list(draft_structured(base, new, frugal).serialise(base_identity, target))
    yield list(draft_plain(new, frugal).serialise(None, target))


def _size(pieces: list[bytes]) -> int:
    return sum(map(len, pieces))


def _write_first_that_fits(base: Path | None, partial: Path, candidates: Iterable[list[bytes]]) -> str:
    """Write the first candidate that a decoder with its own limits accepts, and prove it; its sha256."""
    refusal: DeltaError | None = None
    for pieces in candidates:
        patch_sha256 = _write(partial, pieces)
        try:
            decoder.verify(base, partial, limits=_LIMITS)
        except LimitExceeded as error:
            refusal = error
        except DeltaError as error:
            raise EncodingFailed(f"a patch that was just made does not restore its file: {error}") from error
        else:
            return patch_sha256
    raise EncodingFailed(f"no patch fits what a decoder allows: {refusal}")


def _mapped(path: Path) -> Octets:
    if path.stat().st_size == 0:
        return np.empty(0, np.uint8)
    return np.memmap(path, np.uint8, "r").view(np.ndarray)


def _identity(plain: Octets) -> Identity:
    return Identity(hashlib.sha256(plain.data).hexdigest(), plain.size)


def _write(path: Path, pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
