"""What a rung is, what makes rungs, and how they are judged: by the shipped file alone, its real patches and what the ruler says. No torch.

A maker is cheap to construct, has its settings as fields and yields candidates; `judge` and `measure` look at what was written.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from benchmarks.accuracy import Predictions
from benchmarks.paired import Paired, compare
from benchmarks.statistics import wilson_interval
from compression.datasets import Samples
from compression.evaluation import predict_classes
from compression.ladder.task import Task
from compression.rate import delta_bytes

Report = Callable[[str, float], None]
"""Told what goes on, and which share of it is done, 0..1."""


def silent(_what: str, _share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where candidates are written, and what a maker may use.

    Attributes:
        folder: each maker writes files of names of its own into it.
        threads: of torch; results are the same for the same number.
        workers: how many rungs may be made at a time, in processes of their own; results are the same for any number.
        minutes: about how long one maker may take; `None` is as long as its settings say, and then results depend on no clock.
    """

    folder: Path
    threads: int = 1
    workers: int = 1
    minutes: float | None = None
    report: Report = silent


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that was made: `method` is the maker's name, `settings` (plain JSON values) make it again."""

    name: str
    path: Path
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)


class RungMaker(Protocol):
    """Makes candidates for a task, the dearest in bytes first; deterministic."""

    @property
    def name(self) -> str: ...

    def make(self, task: Task, bench: Bench) -> Iterator[Candidate]:
        """Yield candidates as they are finished. Looks at `task.held_out` never.

        Raises:
            CompressionError: the graph or the samples cannot be worked with.
        """


@runtime_checkable
class AimingMaker(RungMaker, Protocol):
    """A maker that comes near a divergence that is asked for, once it is known how far its candidates diverge."""

    def aimed(
        self, task: Task, bench: Bench, known: Sequence[tuple[Candidate, float]], goals: Sequence[float]
    ) -> Iterator[Candidate]:
        """Yield at most one candidate for each of `goals`, divergences in nats; `known` are its own candidates with theirs."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What the new version answers for samples: what rungs are compared with."""

    samples: Samples
    predictions: Predictions

    @classmethod
    def of(cls, new: Path, samples: Samples) -> "Reference":
        """Ask the new version."""
        return cls(samples, predict_classes(new, samples))


@dataclass(frozen=True, slots=True)
class Judged:
    """What a file answers, against the reference; `paired` and accuracy are `None` where nobody labelled the samples."""

    predictions: Predictions
    agreement: float
    agreement_ci95: tuple[float, float]
    paired: Paired | None

    @property
    def accuracy(self) -> float | None:
        return None if self.paired is None else self.predictions.accuracy

    @property
    def difference(self) -> float:
        """Accuracy less the reference's; without labels what it can be at worst, were the reference always right."""
        return self.agreement - 1 if self.paired is None else self.paired.difference


@dataclass(frozen=True, slots=True)
class Rung:
    """A candidate with what it costs and how good it is.

    Attributes:
        delta_bytes: sizes of the patches to it, one from each held version; the first of these is the base.
        held_out: measured on samples that nothing was chosen on.
    """

    candidate: Candidate
    sha256: str
    size_bytes: int
    delta_bytes: tuple[int, ...]
    held_out: Judged

    @property
    def base_bytes(self) -> int:
        """Size of the patch from the base."""
        return self.delta_bytes[0]


def judge(path: Path, reference: Reference) -> Judged:
    """Ask the file for every sample of the reference and compare."""
    found = predict_classes(path, reference.samples)
    said = reference.predictions.classes
    same = sum(a == b for a, b in zip(found.classes, said, strict=True))
    paired = None if found.labels is None else compare(found.classes, said, found.labels)
    return Judged(found, same / found.n, wilson_interval(same, found.n), paired)


def measure(candidate: Candidate, base_bytes: int, held: Sequence[Path], reference: Reference) -> Rung:
    """Judge a candidate, whose patch from the base has `base_bytes`, and make its patch from each further held version."""
    plain = candidate.path.read_bytes()
    return Rung(
        candidate=candidate,
        sha256=hashlib.sha256(plain).hexdigest(),
        size_bytes=len(plain),
        delta_bytes=(base_bytes, *(delta_bytes(version, candidate.path) for version in held)),
        held_out=judge(candidate.path, reference),
    )
