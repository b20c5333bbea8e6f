"""A candidate model beside the one it would replace, on the same inputs. Child side: request and answer are JSON.

Both models are open at once and take turns, so that whatever else the machine does meets both alike: only then is the ratio of
their times worth something. Where there is no memory for two, the caller asks for one after the other, and there is no ratio.

The candidate comes first in everything: its memory is measured before the other one is opened.
"""

import gc
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement import is_scores
from benchmarks.errors import InferenceFailed, ModelUnloadable, RequestInvalid
from benchmarks.memory import Phase, PhaseMeter
from benchmarks.ports import Port
from benchmarks.recent_inputs import Feeds, read_recent
from benchmarks.report import Absent
from benchmarks.samples import read_samples
from benchmarks.session import Model, bind_shapes, open_model, random_feeds

RECENT_INPUTS, SAMPLE_SET = "recent-inputs", "sample-set"
# Each model gets at least so many turns, and at most this much time for all further ones.
MIN_TURNS, MAX_TURNS, TIMING_S = 9, 400, 2.0
# Below this share of a CPU something else held the core, and only CPU time tells the models apart: the ruler's rule for validity.
LEAST_CPU_SHARE = 0.95
# Outputs that wait for the other model, and how long one model may take over all inputs: of slow models fewer are looked at.
MAX_KEPT_BYTES, MAX_RUNNING_S = 32 << 20, 60.0

Outputs = dict[str, Any]


@dataclass(slots=True)
class _Inputs:
    """What both models are given. `n` counts real samples: inputs made up for the want of any are none."""

    feeds: list[Feeds]
    source: str
    n: int
    skipped: int


@dataclass(slots=True)
class _Times:
    """Wall and CPU nanoseconds of each inference of one model."""

    wall_ns: list[int] = field(default_factory=list)
    cpu_ns: list[int] = field(default_factory=list)

    @property
    def had_the_cpu(self) -> bool:
        return sum(self.cpu_ns) >= LEAST_CPU_SHARE * sum(self.wall_ns)

    def median_ns(self, *, of_cpu: bool) -> float | None:
        return statistics.median(self.cpu_ns if of_cpu else self.wall_ns) if self.wall_ns else None


@dataclass(slots=True)
class _Difference:
    """A running comparison of two models' outputs, input by input."""

    samples: int = 0
    rows: int = 0
    differing_rows: int = 0
    errors: list[float] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    newly_not_finite: int = 0
    other_ports: bool = False

    def take(self, candidate: Outputs, current: Outputs) -> None:
        """Take one input's outputs of both."""
        shared = {name: (candidate[name], current[name]) for name in candidate.keys() & current.keys()}
        if not shared or not all(_comparable(*pair) for pair in shared.values()):
            self.other_ports = True
            return
        self.samples += 1
        scores = next((pair for name in candidate if name in shared and _are_scores(*(pair := shared[name]))), None)
        if scores is not None:
            choices = [output.argmax(axis=1) for output in scores]
            self.rows += len(choices[0])
            self.differing_rows += int((choices[0] != choices[1]).sum())
        self._take_errors(list(shared.values()))

    def _take_errors(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        worst, total, count, became_odd = 0.0, 0.0, 0, False
        for new, old in pairs:
            finite = np.isfinite(new) & np.isfinite(old)
            became_odd |= bool((np.isfinite(old) & ~np.isfinite(new)).any())
            error = np.abs(new[finite].astype(np.float64) - old[finite].astype(np.float64))
            worst = max(worst, float(error.max(initial=0.0)))
            total, count = total + float(error.sum()), count + error.size
        self.errors.append(worst)
        self.means.append(total / count if count else 0.0)
        self.newly_not_finite += became_odd

    def figures(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            "disagreement": self.differing_rows / self.rows if self.rows else None,
            "max_abs_error": max(self.errors) if self.errors else None,
            "mean_abs_error": statistics.fmean(self.means) if self.means else None,
            "newly_not_finite": self.newly_not_finite,
        }


def _comparable(new: Any, old: Any) -> bool:
    """Two tensors of numbers with one shape; their precision may differ."""
    return (
        isinstance(new, np.ndarray)
        and isinstance(old, np.ndarray)
        and new.shape == old.shape
        and new.dtype.kind in "fiub"
        and old.dtype.kind in "fiub"
    )


def _are_scores(new: Any, old: Any) -> bool:
    return is_scores(new) and is_scores(old)


def compare_models(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the candidate, and beside it or after it the current model, on the same inputs.

    `why_not` says why there is no comparison, or no ratio; what could not be had is None.
    """
    candidate, inputs, memory_bytes = _open_candidate(request)
    results = _run_all(candidate, inputs.feeds)
    found = _Comparison(inputs, results)
    if request["current"] is None:
        found.time_alone(candidate)
    elif request["together"]:
        found.compare(candidate.inputs, request["current"])
        found.take_turns(candidate)
    else:
        found.time_alone(candidate)
        ports = candidate.inputs
        del candidate
        gc.collect()  # the runtime gives its memory back with the session, and there may be none to spare
        found.compare(ports, request["current"])
        found.why_not = found.why_not or "one-after-the-other"
    return found.answer() | {"memory_bytes": memory_bytes}


def _open_candidate(request: Mapping[str, Any]) -> tuple[Model, _Inputs, int | None]:
    """The candidate, what to feed it, and the most memory that loading it and one inference took."""
    meter = PhaseMeter()
    idle = meter.end_phase()
    candidate = open_model(request["candidate"])
    loaded = meter.end_phase()
    inputs = _gather(candidate, request)
    fed = meter.end_phase()
    if inputs.feeds:
        _try(candidate, inputs.feeds[0])
    return candidate, inputs, _memory_bytes(idle, loaded, fed, meter.end_phase())


def _memory_bytes(idle: Phase, loaded: Phase, fed: Phase, ran: Phase) -> int | None:
    """The peak above what the process had without the model; the inputs, which are ours, do not count."""
    figures = (idle.rss_bytes, loaded.peak_bytes, loaded.rss_bytes, fed.rss_bytes, ran.peak_bytes)
    if any(isinstance(figure, Absent) for figure in figures):
        return None
    before, load_peak, after_load, before_run, run_peak = (int(figure) for figure in figures)  # type: ignore[arg-type]
    return max(load_peak - before, (after_load - before) + (run_peak - before_run))


def _gather(model: Model, request: Mapping[str, Any]) -> _Inputs:
    """Recent inputs where there are enough, else the sample set, else the few recent ones, else made-up ones."""
    most, skipped = request["max_samples"], 0
    if request["recent"] is not None:
        recent = read_recent(Path(request["recent"]), model.inputs, most=most)
        skipped = recent.skipped
        if len(recent.feeds) >= (1 if request["samples"] is None else request["min_samples"]):
            return _Inputs(recent.feeds, RECENT_INPUTS, len(recent.feeds), skipped)
    if request["samples"] is not None:
        samples = read_samples(Path(request["samples"]), model.inputs)
        feeds = [samples.feeds(index, model.inputs) for index in range(min(samples.n, most))]
        return _Inputs(feeds, SAMPLE_SET, len(feeds), skipped)
    try:
        made_up = [random_feeds(model, bind_shapes(model, {}), seed=0)]
    except RequestInvalid:  # texts, for example, cannot be made up
        made_up = []
    return _Inputs(made_up, SAMPLE_SET if request["recent"] is None else RECENT_INPUTS, 0, skipped)


def _try(model: Model, feeds: Feeds) -> Outputs | InferenceFailed:
    try:
        return dict(zip(model.output_names, model.run(feeds), strict=True))
    except InferenceFailed as error:
        return error


def _run_all(model: Model, feeds: Sequence[Feeds]) -> list[Outputs | InferenceFailed]:
    """What the model makes of each input; fewer, where the outputs are too large to be kept, or it takes too long."""
    results: list[Outputs | InferenceFailed] = []
    kept_bytes, started = 0, time.monotonic()
    for one in feeds:
        outputs = _try(model, one)
        results.append(outputs)
        if not isinstance(outputs, InferenceFailed):
            kept_bytes += sum(value.nbytes for value in outputs.values() if isinstance(value, np.ndarray))
        if kept_bytes > MAX_KEPT_BYTES or time.monotonic() - started > MAX_RUNNING_S:
            break
    return results


class _Comparison:
    """What is found out, step by step."""

    def __init__(self, inputs: _Inputs, results: Sequence[Outputs | InferenceFailed]) -> None:
        self.why_not: str | None = None
        self._inputs = inputs
        self._results = results
        self._skipped = inputs.skipped
        self._current: Model | None = None
        self._difference = _Difference()
        self._refused: str | None = None
        self._usable = [
            feeds
            for feeds, result in zip(inputs.feeds, results, strict=False)
            if not isinstance(result, InferenceFailed)
        ]
        self._times: tuple[_Times, _Times | None] = (_Times(), None)

    def compare(self, ports: Sequence[Port], current: str) -> None:
        """Open the current model and set its outputs beside the candidate's."""
        try:
            model = open_model(current)
        except ModelUnloadable:
            self.why_not = "current-unloadable"
            return
        if not _take_the_same(ports, model.inputs):
            self.why_not = "other-ports"
            return
        self._current, usable = model, []
        for feeds, result in zip(self._inputs.feeds, self._results, strict=False):
            expected = _try(model, feeds)
            if isinstance(expected, InferenceFailed):
                self._skipped += 1  # an input that the model in service refuses says nothing against another one
            elif isinstance(result, InferenceFailed):
                self._refused = str(result)
            else:
                usable.append(feeds)
                self._difference.take(result, expected)
        self._usable = usable
        if self._difference.other_ports:
            self.why_not = "other-ports"

    def time_alone(self, candidate: Model) -> None:
        """Time the candidate by itself."""
        self._times = (_timed([candidate], self._usable)[0], None)

    def take_turns(self, candidate: Model) -> None:
        """Time both in turns; the candidate alone where there is nothing to compare it with."""
        if self._current is None or self.why_not is not None:
            self.time_alone(candidate)
            return
        mine, theirs = _timed([candidate, self._current], self._usable)
        self._times = (mine, theirs)

    def answer(self) -> dict[str, Any]:
        candidate, current = self._times
        of_cpu = not all(times.had_the_cpu for times in self._times if times is not None)
        latency_ns = candidate.median_ns(of_cpu=of_cpu)
        other_ns = None if current is None else current.median_ns(of_cpu=of_cpu)
        compared = self._difference if self.why_not != "other-ports" and self._inputs.n else _Difference()
        return {
            "source": self._inputs.source,
            "skipped": self._skipped,
            "why_not": self.why_not,
            "refused": self._refused,
            "latency_ns": latency_ns,
            "latency_ratio": latency_ns / other_ns if latency_ns and other_ns else None,
            "latency_basis": "cpu" if of_cpu else "wall",
            **compared.figures(),
        }


def _take_the_same(new: Sequence[Port], old: Sequence[Port]) -> bool:
    mine, theirs = ({port.name: port for port in ports} for ports in (new, old))
    return mine.keys() == theirs.keys() and all(_alike(mine[name], theirs[name]) for name in mine)


def _alike(new: Port, old: Port) -> bool:
    if new.dtype != old.dtype:
        return False
    if new.dims is None or old.dims is None:
        return True
    pairs = zip(new.dims, old.dims, strict=False)
    return len(new.dims) == len(old.dims) and all(None in pair or pair[0] == pair[1] for pair in pairs)


def _timed(models: Sequence[Model], feeds: Sequence[Feeds]) -> list[_Times]:
    """Single inferences in turns (A B, B A, ...), until there are enough of them."""
    times = [_Times() for _model in models]
    if not feeds:
        return times
    turns = list(zip(models, times, strict=True))
    started = time.monotonic()
    for turn in range(MAX_TURNS):
        if turn >= MIN_TURNS and time.monotonic() - started > TIMING_S:
            break
        for model, taken in turns if turn % 2 == 0 else reversed(turns):
            _time_one(model, feeds[turn % len(feeds)], taken)
    return times


def _time_one(model: Model, feeds: Feeds, times: _Times) -> None:
    # This thread's CPU time, for sessions of one thread: the process's moves in steps of 4 ms once RLIMIT_CPU is set (measured, Linux 6).
    cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
    model.run(feeds)
    times.wall_ns.append(time.perf_counter_ns() - wall)
    times.cpu_ns.append(time.thread_time_ns() - cpu)
