"""Building a slot: model, contract and manifest in a directory that is renamed to its digest only when all is durable.

So a slot that has its final name is complete. Nobody's word is taken for the model: whatever way it came, the file is
hashed once more as it lies on disk, and only the target's digest makes it a slot. If power fails here, a `<sha256>.new`
is left, whose model is used again when its digest is right.
"""

import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent import children, disk, wire
from agent.config import Children
from agent.errors import DISK_FULL, ApplyFailed, DiskRefused, WireInvalid
from agent.layout import CONTRACT_FILE, MANIFEST_FILE, MODEL_FILE, Layout, LinePaths, sha256_of
from agent.wire import Blob, Offer, Target, Tolerances, Way

MANIFEST_SCHEMA = "smallfleet-manifest/1"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Built:
    """What building the model cost; the memory is that of the decoding child, `None` where there was none."""

    duration_s: float
    peak_memory_bytes: int | None


def is_complete(paths: LinePaths, sha256: str) -> bool:
    """Whether a slot is there and holds what its name and its manifest say; one that cannot be read does not."""
    slot = paths.slot(sha256)
    try:
        manifest: Any = wire.parse_json((slot / MANIFEST_FILE).read_bytes(), MANIFEST_FILE)
        label = (manifest["sha256"], manifest["contract"]["sha256"])
    except FileNotFoundError:
        return False
    except (OSError, WireInvalid, KeyError, TypeError) as error:
        log.warning("slot_unreadable", extra={"sha256": sha256, "why": str(error)})
        return False
    return label[0] == sha256 and has_digest(slot / CONTRACT_FILE, label[1]) and has_model(paths, sha256)


def is_labelled(paths: LinePaths, model: str, target: Target) -> bool:
    """Whether a slot is complete and its manifest that of a target, to the byte: the same model may be in several versions."""
    manifest = paths.slot(target.sha256) / MANIFEST_FILE
    return is_complete(paths, target.sha256) and manifest.read_bytes() == _manifest(model, target)


def label(paths: LinePaths, model: str, target: Target, contract: bytes) -> None:
    """Give a slot with the right model, which is not in service, the contract and the manifest of a target."""
    disk.replace_file(paths.slot(target.sha256) / CONTRACT_FILE, contract)
    disk.replace_file(paths.slot(target.sha256) / MANIFEST_FILE, _manifest(model, target))


def has_model(paths: LinePaths, sha256: str) -> bool:
    """Whether the model's file is in its slot, whatever is beside it."""
    return has_digest(paths.model(sha256), sha256)


def is_built(paths: LinePaths, sha256: str) -> bool:
    """Whether the model itself is there, in its slot or in one that is not finished."""
    return has_model(paths, sha256) or has_digest(paths.building(sha256) / MODEL_FILE, sha256)


def find_model(layout: Layout, models: tuple[str, ...], sha256: str) -> Path | None:
    """The file of a model that some line holds."""
    candidates = (layout.line(model).model(sha256) for model in models)
    return next((path for path in candidates if path.is_file()), None)


def held_models(layout: Layout, models: tuple[str, ...]) -> frozenset[str]:
    """The digests in complete slots of all lines."""
    folders = (path for model in models for path in layout.line(model).slots.iterdir())
    return frozenset(path.name for path in folders if (path / MANIFEST_FILE).is_file() and path.suffix != ".new")


def find_contract(layout: Layout, models: tuple[str, ...], sha256: str) -> bytes | None:
    """A contract that was fetched before: the download, or the copy in a slot."""
    slots = (slot / CONTRACT_FILE for model in models for slot in layout.line(model).slots.iterdir())
    for path in (layout.downloaded(sha256), *slots):
        if path.is_file() and path.stat().st_size <= wire.MAX_CONTRACT_BYTES and has_digest(path, sha256):
            return path.read_bytes()
    return None


def build(
    layout: Layout, model: str, target: Target, offer: Offer, *, base: Path | None, contract: bytes, limits: Children
) -> Built:
    """Make the target's slot, complete and durable, from the fetched bytes.

    Raises:
        ApplyFailed: the bytes do not give the target; nothing of it is left.
        DiskRefused: no room.
    """
    paths = layout.line(model)
    building = paths.building(target.sha256)
    built = Built(0.0, None)
    if not has_digest(building / MODEL_FILE, target.sha256):
        disk.remove_tree(building)
        disk.make_directories(building)
        try:
            built = _make_model(layout, building / MODEL_FILE, target, offer, base=base, limits=limits)
        except (ApplyFailed, DiskRefused):
            disk.remove_tree(building)
            raise
    # Also what an agent left that was killed before this: its digest was right, and nothing of it may be on the disk yet.
    disk.sync_file(building / MODEL_FILE)
    disk.sync_directory(building)
    disk.replace_file(building / CONTRACT_FILE, contract)
    disk.replace_file(building / MANIFEST_FILE, _manifest(model, target))
    _put_in_place(building, paths.slot(target.sha256))
    return built


def _put_in_place(building: Path, slot: Path) -> None:
    """Give a slot its final name; one that is there is damaged, and is mended file by file, since it may be served at this moment.

    The model comes last: should power fail before it, everything else of the build is still here.
    """
    if slot.is_dir():
        for name in (CONTRACT_FILE, MANIFEST_FILE, MODEL_FILE):
            disk.rename(building / name, slot / name)
        disk.remove_tree(building)
    else:
        disk.rename(building, slot)


def discard(paths: LinePaths, sha256: str) -> None:
    """Remove a slot that is of no use."""
    disk.remove_tree(paths.slot(sha256))


def sample_set_of(paths: LinePaths, sha256: str) -> str | None:
    """The digest of the sample set that belongs to a slot; `None` when it has none or its manifest is damaged."""
    try:
        manifest: Any = wire.parse_json((paths.slot(sha256) / MANIFEST_FILE).read_bytes(), MANIFEST_FILE)
        return wire.parse_sha256(manifest["sample_set"]["sha256"])
    except (OSError, WireInvalid, KeyError, TypeError):
        return None


def version_of(paths: LinePaths, sha256: str) -> str | None:
    """The version that a slot was installed as; `None` when its manifest is damaged."""
    target = _labelled_target(paths, sha256)
    return None if target is None else target.version


def target_of(paths: LinePaths, sha256: str) -> Target:
    """What a slot was the target of, by its manifest; where that is damaged too, no more than its digest."""
    target = _labelled_target(paths, sha256)
    if target is None:
        return Target("unknown", "unknown", sha256, 0, Blob(sha256, 0), None, Tolerances())
    return replace(target, sha256=sha256)


def _labelled_target(paths: LinePaths, sha256: str) -> Target | None:
    try:
        manifest = wire.parse_json((paths.slot(sha256) / MANIFEST_FILE).read_bytes(), MANIFEST_FILE)
        return wire.parse_target(manifest, max_artifact_bytes=wire.ANY_SIZE)
    except (OSError, WireInvalid):
        return None


def _make_model(
    layout: Layout, out: Path, target: Target, offer: Offer, *, base: Path | None, limits: Children
) -> Built:
    started_at = time.monotonic()
    peak_memory_bytes = None
    artifact = layout.downloaded(offer.sha256)
    if offer.way is Way.RAW:
        disk.rename(artifact, out)
    else:
        peak_memory_bytes = _decode(artifact, out, target, base=base, limits=limits)
    if not has_digest(out, target.sha256):
        raise ApplyFailed("wrong-digest", f"the {offer.way} way did not give {target.sha256}")
    return Built(time.monotonic() - started_at, peak_memory_bytes)


def has_digest(path: Path, sha256: str) -> bool:
    """Whether a file is there, can be read, and is what its digest says."""
    try:
        return path.is_file() and sha256_of(path) == sha256
    except OSError as error:  # a block of the flash that cannot be read any more
        log.warning("file_unreadable", extra={"sha256": sha256, "why": str(error)})
        return False


def _decode(patch: Path, out: Path, target: Target, *, base: Path | None, limits: Children) -> int | None:
    """Run the decoder in its child; the peak memory that it reports.

    Raises:
        ApplyFailed: it refused, crashed, or took too long.
        DiskRefused: it had no room.
    """
    command = children.python_module(
        "agent.apply_child",
        *(() if base is None else ("--base", str(base))),
        *("--patch", str(patch), "--out", str(out), "--output-bytes", str(target.size_bytes)),
        *("--memory-limit-mib", str(limits.memory_limit_mib), "--timeout-s", str(limits.timeout_s)),
        *("--nice", str(limits.nice)),
        *(("--require-sandbox",) if limits.sandbox == "required" else ()),
    )
    ended = children.run(command, timeout_s=limits.timeout_s)
    answer = _answer(ended)
    if answer["error"] == DISK_FULL:
        raise DiskRefused("disk-full", str(answer.get("detail")))
    if answer["error"] is not None:
        raise ApplyFailed(str(answer["error"]), str(answer.get("detail")))
    peak = answer.get("peak_memory_bytes")
    return peak if isinstance(peak, int) else None


def _answer(ended: children.Ended) -> dict[str, Any]:
    if ended.returncode is None:
        raise ApplyFailed("decoder-timeout", "the decoder took longer than children.timeout_s")
    if ended.returncode in (0, 3):
        try:
            answer = wire.parse_json(ended.stdout, "the decoder's answer")
        except WireInvalid as error:
            raise ApplyFailed("decoder-crashed", str(error)) from error
        if isinstance(answer, dict) and "error" in answer:
            return answer
    raise ApplyFailed("decoder-crashed", f"exit {ended.returncode}: {ended.stderr_end[-300:]}")


def _manifest(model: str, target: Target) -> bytes:
    return json.dumps({"schema": MANIFEST_SCHEMA, "model": model, **asdict(target)}, indent=1).encode()
