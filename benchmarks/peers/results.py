"""Results on disk, one file per (base, new, codec, version): peers are measured once, and ours again when its code changed."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.codecs import Codec
from benchmarks.peers.folders import results_folder
from benchmarks.peers.measuring import Result, State, Step, measure
from benchmarks.peers.pairs import Pair


def kept_result(codec: Codec, pair: Pair, *, cache: Path) -> Result | None:
    """What is known without measuring, `None` where that is nothing."""
    if refusal := codec.refuses(pair.base, pair.new):
        return Result(State.NOT_APPLICABLE, reason=refusal)
    version = codec.version(cache)
    if version is None:
        return Result(State.NOT_INSTALLED, reason=codec.how_to_install)
    path = _path(cache, codec, version, pair)
    return _read(path) if path.exists() else None


def result_of(codec: Codec, pair: Pair, *, cache: Path, timeout_s: float, again: bool = False) -> Result:
    """The kept result, or a new measurement; `again` measures in any case."""
    kept = kept_result(codec, pair, cache=cache)
    if kept and not (again and kept.state not in (State.NOT_APPLICABLE, State.NOT_INSTALLED)):
        return kept
    version = codec.version(cache)
    result = measure(codec, pair, cache=cache, timeout_s=timeout_s)
    if version is None or codec.version(cache) != version:
        return result  # somebody changed its code meanwhile: this belongs to neither version
    path = _path(cache, codec, version, pair)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"codec": codec.name, "version": version, "class": pair.pair_class, "pair": pair.name, **asdict(result)}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return result


def _path(cache: Path, codec: Codec, version: str, pair: Pair) -> Path:
    # What reads no base has one result for all pairs with the same new file.
    base = pair.base_sha256 if codec.uses_base else None
    key = hashlib.sha256(f"{base} {pair.new_sha256} {codec.name} {version}".encode()).hexdigest()
    return results_folder(cache) / key[:2] / f"{key}.json"


def _read(path: Path) -> Result:
    kept = json.loads(path.read_text(encoding="utf-8"))
    steps = {name: Step(**kept[name]) if kept[name] else None for name in ("make", "apply")}
    return Result(State(kept["state"]), kept["patch_bytes"], steps["make"], steps["apply"], kept["reason"])
