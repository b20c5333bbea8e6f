"""One fold of one pair: everything that is measured there, part by part into its record (`records`).

A run that is killed loses the part it was at. The rungs are made and chosen by `compression.ladder` itself, on the training folds alone;
what is kept are the answers of each file to the fold that is left out, so that tables can put folds together. NNCodec is given the same
difference from the same samples; its results are written into ONNX files and asked by the same ruler.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.peers.codecs import HDIFF, nncodec
from benchmarks.peers.codecs.zstd_patch import ZstdPatch
from benchmarks.peers.ladder.pairs import LadderPair, make_pair
from benchmarks.peers.ladder.records import Fold, Point, Record, path_of, read
from compression.evaluation import predict_classes
from compression.ladder.making import make_ladder
from compression.ladder.post_training import PostTraining
from compression.ladder.rungs import Bench, RungMaker
from compression.ladder.sensitivity import weight_costs
from compression.ladder.task import Task
from compression.ladder.trained import TrainedRungs
from compression.provenance import machine

OURS_LOSSLESS = "ours, lossless"
TRAINED = TrainedRungs()
WITHOUT_TRAINING = PostTraining()
_CALIBRATION = 512


class Say(Protocol):
    """Tells a person what goes on."""

    def __call__(self, message: str, /) -> None: ...


def measure_fold(
    pair: LadderPair, number: int, parts: tuple[str, ...], *, cache: Path, kept: Path, say: Say
) -> Fold | None:
    """Measure what is missing of `parts` in the records under `kept`, and return all that is known of the fold; None if nothing is."""
    path = path_of(kept, pair.name, number)
    record = read(path) if path.exists() else None
    wanted = {part: f"{pair!r} {_settings(part)}" for part in parts}
    missing = list(wanted) if record is None else record.missing(wanted)
    if missing:
        started = _processor_s()
        task = _task(pair, number, cache)
        digest = hashlib.sha256(task.base.read_bytes() + task.new.read_bytes()).hexdigest()
        if record is None or record.nets_sha256 != digest:
            # Other nets than those of the record: another machine rounded differently, or they are made otherwise now.
            record = Record(digest, machine(), _reference(task, pair.name, number))
            record.fold.seconds["pair"] = round(_processor_s() - started, 1)
            missing = list(wanted)
        for part in missing:
            say(f"{pair.name}, fold {number + 1}: {part}")
            started = _processor_s()
            points = list(_points(part, task, cache))
            record.add(part, wanted[part], points, _processor_s() - started)
            record.write(path)
    return None if record is None else record.fold


def _task(pair: LadderPair, number: int, cache: Path) -> Task:
    base, new = make_pair(pair, number, cache / "ladder" / pair.name / str(number))
    training, choosing, held_out = pair.fold(number)
    return Task(base, new, training, held_out, seed=pair.seed, choosing=choosing)


def _settings(part: str) -> str:
    """What a part's results depend on beside the nets."""
    return {
        "trained": repr(TRAINED),
        "without": repr(WITHOUT_TRAINING),
        "nncodec": f"{nncodec.VERSION} {nncodec.QPS}",
        "differs": "",
    }[part]


def _points(part: str, task: Task, cache: Path) -> Iterator[Point]:
    match part:
        case "trained":
            return _rungs(task, TRAINED)
        case "without":
            return _rungs(task, WITHOUT_TRAINING)
        case "nncodec":
            return _nncodec(task, cache)
    return _differs(task)


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


def _reference(task: Task, pair: str, number: int) -> Fold:
    base, new = (predict_classes(file, task.held_out).classes for file in (task.base, task.new))
    labels = tuple(np.asarray(task.held_out.classes).tolist())
    return Fold(pair, number, task.new.stat().st_size, labels, base, new)


def _processor_s() -> float:
    """User and system seconds of this process and of its children that have ended."""
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system
