"""One point of a study: build its nets, train, export, compress, measure. Everything that is said of it is measured on the files.

A point has `repeats` times `folds` nets. The first (seed of the spec, first fold) is the one that is kept: bytes, costs, latency and digest are its
own; accuracy is the mean over all, with the Wilson interval for as many samples as there are different ones, since repeats answer the same
samples again. Repeat r of every point has the seed `spec.seed + r`, so that points can be compared seed by seed.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.errors import BenchmarkError
from benchmarks.report import Absent, Maybe, unsettle
from benchmarks.runner import run_benchmark
from benchmarks.static_cost import count_static_cost
from benchmarks.statistics import wilson_interval
from benchmarks.tiers import TIERS, Tier
from client.files import sha256_of, write_whole
from compression.datasets import Samples
from compression.errors import CompressionError
from compression.evaluation import predict_classes
from compression.onnx_export import export_onnx
from compression.rate import delta_bytes, packed_bytes
from compression.steps import Workbench
from compression.study.bench import Bench
from compression.study.early import Curve, beaten_by
from compression.study.space import Design, Value
from compression.study.spec import StudySpec
from compression.training import Recipe, train

OUTPUT = "logits"
_EXAMPLES = 16
_WATCH_BATCH = 512


class PointFailed(CompressionError):
    """The point cannot be built, trained, exported or measured; the message says why."""


class PointHopeless(CompressionError):
    """The point was given up before its end; the message says why.

    Attributes:
        curve: how far it came.
    """

    def __init__(self, message: str, curve: Curve) -> None:
        super().__init__(message)
        self.curve = curve


@dataclass(frozen=True, slots=True)
class Net:
    """One net of a point: which one, and its answers to the samples that were held out from it.

    Attributes:
        seconds: of its training, by the clock.
        right: bool for each held-out sample, in their order.
    """

    repeat: int
    fold: int
    accuracy: float
    seconds: float
    right: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """A point as far as it has come: nets that are done, the first one's curve, and the digest of its file, which is kept."""

    nets: tuple[Net, ...]
    curve: Curve
    sha256: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished point.

    Attributes:
        metrics: by the names of `spec.GOALS`; None where there is no figure.
        reasons: of the figures that are missing, why.
    """

    metrics: Mapping[str, float | None]
    accuracy_ci95: tuple[float, float]
    reasons: Mapping[str, str]
    partial: Partial


def measure_point(
    spec: StudySpec,
    bench: Bench,
    number: int,
    values: Mapping[str, Value],
    *,
    keep: Path,
    finished: Callable[[], Sequence[Curve]],
    begun: Partial | None = None,
    note: Callable[[Partial], None] = lambda _partial: None,
) -> Measured:
    """Make and measure the point with these values.

    Args:
        spec: the study.
        bench: what it is measured on.
        number: of the point.
        values: of every parameter.
        keep: where its first net's file is afterwards.
        finished: the curves of the points that are done by now, which a hopeless one is judged by.
        begun: what was noted of the same point before; used where its file is still at `keep`.
        note: is told after every net.

    Raises:
        PointHopeless: it breaks a budget before any training, or a finished point makes it pointless.
        PointFailed: it cannot be made, by whatever step.
    """
    try:
        start = Curve(number, {}, spec.space.compression_of(values), ())
        is_there = begun is not None and keep.is_file() and sha256_of(keep) == begun.sha256
        return _measure(
            _Job(spec, bench, start, spec.space.design(values), finished), keep, begun if is_there else None, note
        )
    except (PointHopeless, OSError):
        # A full disk is no property of the point.
        raise
    except Exception as error:
        # Anybody's net and any step: what they raise is this point's result, and the study goes on.
        raise PointFailed(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}") from error


@dataclass(frozen=True, slots=True)
class _Job:
    """What has to be done for one point."""

    spec: StudySpec
    bench: Bench
    start: Curve
    design: Design
    finished: Callable[[], Sequence[Curve]]


def _measure(job: _Job, keep: Path, begun: Partial | None, note: Callable[[Partial], None]) -> Measured:
    spec, bench = job.spec, job.bench
    for repeat, fold in itertools.product(range(spec.benchmark.repeats), range(len(bench.parts))):
        if begun is None or (repeat, fold) not in {(net.repeat, net.fold) for net in begun.nets}:
            begun = _with_net(job, keep, begun, repeat, fold)
            note(begun)
    if begun is None:
        raise AssertionError("a point has at least one net")
    accuracy = float(np.mean([net.accuracy for net in begun.nets]))
    costs, reasons = _costs(spec, keep)
    seconds = float(np.mean([net.seconds for net in begun.nets]))
    return Measured(
        metrics={"accuracy": accuracy, **costs, "training_s": seconds},
        accuracy_ci95=wilson_interval(round(accuracy * bench.different), bench.different),
        reasons=reasons,
        partial=begun,
    )


def _with_net(job: _Job, keep: Path, before: Partial | None, repeat: int, fold: int) -> Partial:
    """The point with one more net; the first one's file goes to `keep`."""
    seed = job.spec.seed + repeat
    training, held_out = job.bench.parts[fold]
    with tempfile.TemporaryDirectory(prefix="smallfleet-study-") as folder:
        scratch = Path(folder)
        torch.manual_seed(seed)
        net = job.design.net.build(job.bench.shape)
        watcher = _Watcher(job, net, held_out, scratch) if before is None else None
        started = time.perf_counter()
        train(net, training, _recipe(job.spec, seed), after_epoch=watcher or _unwatched)
        seconds = time.perf_counter() - started
        file = _file_of(net, job, (training, held_out), scratch, seed=seed)
        answers = predict_classes(file, held_out)
        found = Net(repeat, fold, answers.accuracy, seconds, answers.right)
        if before is not None:
            return replace(before, nets=(*before.nets, found))
        _keep(file, keep)
        return Partial((found,), watcher.curve if watcher else job.start, sha256_of(keep))


class _Watcher:
    """Looks at a point's first net: once before its training, then after every epoch."""

    def __init__(self, job: _Job, net: torch.nn.Module, held_out: Samples, scratch: Path) -> None:
        spec, start = job.spec, job.start
        self._spec, self._net, self._finished = spec, net, job.finished
        self._images = torch.from_numpy(held_out.images)
        self._labels = torch.from_numpy(held_out.classes)
        costs: dict[str, float | None] = {}
        if spec.early_stop or (spec.budgets and not start.settings):
            net.eval()
            untrained = scratch / "untrained.onnx"
            _export(net, untrained, held_out)
            costs = _costs_before_training(untrained)
        self.curve = Curve(start.number, costs, start.settings, ())
        if not spec.space.steps:
            # A step may still make the file smaller, or the net faster.
            self._require_budgets()

    def __call__(self, epoch: int) -> None:
        """Note the accuracy after an epoch.

        Raises:
            PointHopeless: some finished point makes it so.
        """
        rule = self._spec.early_stop
        if rule is None:
            return
        accuracies = (*self.curve.accuracies, self._accuracy())
        self.curve = Curve(self.curve.number, self.curve.costs, self.curve.settings, accuracies)
        if epoch == self._spec.training.epochs:
            return
        better = beaten_by(self.curve, self._finished(), self._spec.objectives, after=rule.after, margin=rule.margin)
        if better is not None:
            theirs = better.accuracies[epoch - 1]
            raise PointHopeless(
                f"after {epoch} epochs {accuracies[-1]:.4f} right where point {better.number}, which costs no more, had {theirs:.4f}",
                self.curve,
            )

    def _require_budgets(self) -> None:
        for budget in self._spec.budgets:
            value = self.curve.costs.get(budget.metric)
            if value is not None and not budget.is_kept(self.curve.costs):
                raise PointHopeless(f"over budget before any training: {budget}, it has {value:,.12g}", self.curve)

    def _accuracy(self) -> float:
        """Of the net in torch: it steers the search and is not reported as the point's."""
        with torch.no_grad():
            said = torch.cat([self._net(images).argmax(dim=1) for images in torch.split(self._images, _WATCH_BATCH)])
        return float((said == self._labels).float().mean())


def _export(net: torch.nn.Module, path: Path, held_out: Samples) -> None:
    (name,) = held_out.inputs
    export_onnx(net, path, example=held_out.images[:_EXAMPLES], input_name=name, output_name=OUTPUT)


def _file_of(net: torch.nn.Module, job: _Job, part: tuple[Samples, Samples], scratch: Path, *, seed: int) -> Path:
    """The trained net as a file that has gone through every step."""
    training, held_out = part
    file = scratch / "trained.onnx"
    _export(net, file, held_out)
    bench = Workbench(training=training, held_out=held_out, seed=seed, held=job.spec.base())
    for index, (do, step) in enumerate(job.design.steps):
        target = scratch / f"{index}-{do}.onnx"
        step.apply(file, target, bench)
        file = target
    return file


def _recipe(spec: StudySpec, seed: int) -> Recipe:
    said = spec.training
    return Recipe(
        epochs=said.epochs,
        peak_learning_rate=said.peak_learning_rate,
        shift_pixels=said.shift_pixels,
        seed=seed,
        batch=said.batch,
        weight_decay=said.weight_decay,
    )


def _unwatched(_epoch: int) -> None:
    """Only a point's first net is looked at while it trains."""


def _keep(file: Path, keep: Path) -> None:
    keep.parent.mkdir(parents=True, exist_ok=True)
    write_whole(keep, file.read_bytes())


def _costs_before_training(file: Path) -> dict[str, float | None]:
    static = count_static_cost(file)
    return {
        "param_count": static.param_count,
        "size_bytes": file.stat().st_size,
        "macs": static.macs_total,
        "peak_activation_bytes": static.peak_activation_bytes,
    }


def _costs(spec: StudySpec, file: Path) -> tuple[dict[str, float | None], dict[str, str]]:
    """Every metric of the kept file but accuracy, and why some are missing."""
    base = spec.base()
    found: dict[str, Maybe[float]] = {
        name: Absent("a shape could not be inferred") if value is None else value
        for name, value in _costs_before_training(file).items()
    }
    found["packed_bytes"] = packed_bytes(file)
    found["delta_bytes"] = Absent("the spec names no base") if base is None else delta_bytes(base, file)
    found |= dict(_timed(spec, file))
    metrics = {name: None if isinstance(value, Absent) else value for name, value in found.items()}
    return metrics, {name: value.reason for name, value in found.items() if isinstance(value, Absent)}


def _timed(spec: StudySpec, file: Path) -> Iterator[tuple[str, Maybe[float]]]:
    """Latency and energy, as far as a report of the ruler may be believed."""
    if spec.benchmark.latency == "none":
        reason = Absent("the spec does not ask for it")
        yield from (("latency_p50_ns", reason), ("energy_j", reason))
        return
    report = _report(spec.benchmark.latency, file, spec.benchmark.latency_tries)
    if isinstance(report, Absent):
        yield from (("latency_p50_ns", report), ("energy_j", report))
        return
    yield "latency_p50_ns", report["latency"]["p50"]
    energy = report["energy"]
    yield "energy_j", energy if isinstance(energy, Absent) else energy["median"]


def _report(tier: Tier | str, file: Path, tries: int) -> Maybe[dict[str, Any]]:
    """The first report that is not invalid, or why there is none."""
    why = ""
    for _ in range(tries):
        try:
            report = run_benchmark(file, tier=_tier(tier), timeout_s=TIERS[_tier(tier)].patience_s)
        except BenchmarkError as error:
            return Absent(f"the ruler failed: {error}")
        if report["validity"]["state"] != "invalid":
            return unsettle(report)
        broken = [
            flag["id"] for flag in report["validity"]["flags"] if not flag["ok"] and flag["severity"] == "invalid"
        ]
        why = f"the ruler's report is invalid: {', '.join(broken)}"
    return Absent(why)


def _tier(name: str) -> Tier:
    (tier,) = (tier for tier in TIERS if tier == name)
    return tier
