"""One fold of one pair: everything that is measured there, each part a JSON file that is kept until what it was made from changes.

A run that is killed loses the part it was at. The rungs are made and chosen by `compression.ladder` itself, on the training folds alone;
what is kept are the answers of each file to the fold that is left out, so that tables can put folds together. NNCodec is given the same
difference from the same samples; its results are written into ONNX files and asked by the same ruler.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.peers.codecs import HDIFF, nncodec
from benchmarks.peers.codecs.zstd_patch import ZstdPatch
from benchmarks.peers.ladder.pairs import LadderPair, make_pair
from compression.evaluation import predict_classes
from compression.ladder.choice import Offer, choose
from compression.ladder.making import make_ladder
from compression.ladder.post_training import PostTraining
from compression.ladder.rungs import Bench, RungMaker
from compression.ladder.sensitivity import weight_costs
from compression.ladder.task import Task
from compression.ladder.trained import TrainedRungs

OURS_LOSSLESS = "ours, lossless"
PARTS = ("trained", "without", "nncodec", "differs")
TRAINED = TrainedRungs()
WITHOUT_TRAINING = PostTraining()
_CALIBRATION = 512


@dataclass(frozen=True, slots=True)
class Point:
    """A file that is sent: what it takes in bytes, and the classes it says for the fold.

    Attributes:
        offer: of a rung, what it is chosen by.
        chosen_as: what it promises, if anything; by today's rules, for choosing takes no time.
    """

    name: str
    size_bytes: int
    classes: tuple[int, ...]
    offer: Offer | None = None
    chosen_as: str = ""


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold of a pair, as far as it is measured: `parts` holds points by part, `seconds` processor seconds by part."""

    pair: str
    number: int
    new_bytes: int
    labels: tuple[int, ...]
    base_classes: tuple[int, ...]
    new_classes: tuple[int, ...]
    parts: dict[str, tuple[Point, ...]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Say(Protocol):
    """Tells a person what goes on."""

    def __call__(self, message: str, /) -> None: ...


def measure_fold(pair: LadderPair, number: int, parts: tuple[str, ...], *, cache: Path, say: Say) -> Fold:
    """Measure what is missing of `parts` and return all that is known."""
    folder = cache / "ladder" / pair.name / str(number)
    started = _processor_s()
    base, new = make_pair(pair, number, folder)
    trained_s = _processor_s() - started
    training, held_out = pair.fold(number)
    task = Task(base, new, training, held_out, seed=pair.seed)
    pair_key = hashlib.sha256(base.read_bytes() + new.read_bytes()).hexdigest()
    makers = _makers(task, cache)
    kept = _kept(folder / "reference.json", pair_key, lambda: _reference(task) | {"seconds": trained_s})
    found = Fold(pair.name, number, *_reference_fields(kept))
    found.seconds["pair"] = kept["seconds"]
    for part in PARTS:
        path = folder / f"{part}.json"
        key, make = makers[part]
        key = hashlib.sha256(f"{pair_key} {key}".encode()).hexdigest()
        if part in parts and not _is_kept(path, key):
            say(f"{pair.name}, fold {number + 1}: {part}")
        if part in parts or _is_kept(path, key):
            document = _kept(path, key, lambda make=make: _timed(make))  # type: ignore[misc]
            found.parts[part] = _points(document["points"])
            found.seconds[part] = document["seconds"]
    return found


def _makers(task: Task, cache: Path) -> dict[str, tuple[str, Callable[[], Iterator[Point]]]]:
    """For each part what its results depend on beside the pair, and who makes them."""
    return {
        "trained": (repr(TRAINED), lambda: _rungs(task, TRAINED)),
        "without": (repr(WITHOUT_TRAINING), lambda: _rungs(task, WITHOUT_TRAINING)),
        "nncodec": (f"{nncodec.VERSION} {nncodec.QPS}", lambda: _nncodec(task, cache)),
        "differs": ("", lambda: _differs(task)),
    }


def _rungs(task: Task, maker: RungMaker) -> Iterator[Point]:
    with tempfile.TemporaryDirectory() as folder:
        ladder = make_ladder(task, Bench(Path(folder)), maker=maker)
    if ladder.fallback:
        raise RuntimeError(f"these rungs were to be made by {maker.name}: {ladder.fallback}")
    for made in ladder.made:
        rung = made.rung
        yield Point(rung.candidate.name, rung.base_bytes, rung.held_out.predictions.classes, made.offer)


def _nncodec(task: Task, cache: Path) -> Iterator[Point]:
    aligned = task.aligned
    differences = {name: aligned.target[name] - aligned.base[name] for name in aligned.moving}
    costs = weight_costs(task, task.parts[0].first(_CALIBRATION))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "restored.onnx"
        for coded in nncodec.code(differences, list(nncodec.sweep(differences, costs)), cache=cache):
            task.write(path, {name: aligned.base[name] + coded.difference[name] for name in differences})
            classes = predict_classes(path, task.held_out).classes
            yield Point(f"{coded.setting.name} {coded.setting.qp}", coded.size_bytes, classes)


def _differs(task: Task) -> Iterator[Point]:
    """Lossless: what they restore says what the new version says."""
    from compression.rate import delta_bytes

    yield Point(OURS_LOSSLESS, delta_bytes(task.base, task.new), ())
    with tempfile.TemporaryDirectory() as folder:
        patch = Path(folder) / "patch"
        HDIFF.make(task.base, task.new, patch)
        yield Point(HDIFF.name, patch.stat().st_size, ())
        if shutil.which("zstd") is not None:
            peer = ZstdPatch()
            peer.make(task.base, task.new, patch)
            yield Point(peer.name, patch.stat().st_size, ())


def _reference(task: Task) -> dict[str, Any]:
    new = predict_classes(task.new, task.held_out)
    return {
        "new_bytes": task.new.stat().st_size,
        "labels": np.asarray(task.held_out.classes).tolist(),
        "base_classes": predict_classes(task.base, task.held_out).classes,
        "new_classes": new.classes,
    }


def _reference_fields(kept: dict[str, Any]) -> tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return (kept["new_bytes"], tuple(kept["labels"]), tuple(kept["base_classes"]), tuple(kept["new_classes"]))


def _timed(make: Callable[[], Iterator[Point]]) -> dict[str, Any]:
    started = _processor_s()
    points = [asdict(point) for point in make()]
    return {"points": points, "seconds": round(_processor_s() - started, 1)}


def _points(kept: list[dict[str, Any]]) -> tuple[Point, ...]:
    offers = {one["name"]: Offer(**one["offer"]) for one in kept if one["offer"]}
    chosen = choose(list(offers.values()))
    return tuple(
        Point(name := one["name"], one["size_bytes"], tuple(one["classes"]), offers.get(name), chosen.get(name, ""))
        for one in kept
    )


def _processor_s() -> float:
    """User and system seconds of this process and of its children that have ended."""
    import os

    found = os.times()
    return found.user + found.system + found.children_user + found.children_system


def _kept(path: Path, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the file holds for this key; made and written in one rename where it does not."""
    if not _is_kept(path, key):
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"key": key, "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **make()}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(document) + "\n", encoding="utf-8")
        partial.replace(path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _is_kept(path: Path, key: str) -> bool:
    return path.exists() and json.loads(path.read_text(encoding="utf-8"))["key"] == key
