"""A ladder, as a use case: make candidates, choose on samples set aside for that, then measure on samples that nothing was chosen on.

Torch is imported only where rungs are trained.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from benchmarks.agreement import is_scores
from compression.datasets import Samples
from compression.errors import ModelUnusable
from compression.ladder.choice import PROMISES, Offer, Promise, allowed, choose
from compression.ladder.divergence import divergence
from compression.ladder.layers import Walk
from compression.ladder.post_training import PostTraining
from compression.ladder.rungs import AimingMaker, Bench, Candidate, Judged, Reference, Rung, RungMaker, judge, measure
from compression.ladder.task import Task
from compression.onnx_files import read_model
from compression.rate import delta_bytes

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A measured rung, and what it was chosen on.

    Attributes:
        offer: bytes from the base, and divergence and difference on the samples for choosing.
        chosen_as: `faithful`, `thrifty`, both, `between`, or empty.
    """

    rung: Rung
    offer: Offer
    chosen_as: str


@dataclass(frozen=True)
class Ladder:
    """All of it.

    Attributes:
        held: the base, and further versions whose patches are reported.
        new: as judged on the held-out samples.
        fallback: why the first maker could not, if so.
        seconds: for making, choosing and measuring, on this machine.
    """

    task: Task
    held: tuple[Path, ...]
    new: Reference
    made: tuple[Made, ...]
    fallback: str
    seconds: float

    @property
    def chosen(self) -> dict[str, str]:
        """What was chosen, by the candidate's name."""
        return {made.rung.candidate.name: made.chosen_as for made in self.made if made.chosen_as}

    @cached_property
    def base(self) -> Judged:
        """The base on the held-out samples: what devices do without the update."""
        return judge(self.task.base, self.new)

    @cached_property
    def lossless_bytes(self) -> tuple[int, ...]:
        """Sizes of the patches to the new version itself, one from each held version."""
        return tuple(delta_bytes(version, self.task.new) for version in self.held)


def make_ladder(
    task: Task,
    bench: Bench,
    *,
    held: Sequence[Path] = (),
    maker: RungMaker | None = None,
    spare: RungMaker | None = None,
    promises: Sequence[Promise] = PROMISES,
) -> Ladder:
    """Make, choose and measure, dearest first. `held` are further versions whose patches are reported; the base comes first by itself.

    A maker that can aim makes one candidate more for each of `promises`, as far from the new version as the first candidates say it may be.
    Where torch cannot run the graph, `spare` makes the rungs (by default `PostTraining`, which needs no torch).

    Raises:
        CompressionError: files or samples cannot be worked with, or nobody made a rung.
    """
    started = time.monotonic()
    new = Reference.of(task.new, task.held_out)
    bar = _Bar.of(task)
    maker = maker or _by_training()
    candidates, fallback = _candidates(task, bench, maker, spare or PostTraining(gradients=False))
    found = [(candidate, bar.offer(candidate)) for candidate in candidates]
    if isinstance(maker, AimingMaker) and not fallback:
        offers = [offer for _, offer in found]
        known = [(candidate, offer.divergence) for candidate, offer in found]
        goals = [allowed(offers, promise) for promise in promises]
        found += [(candidate, bar.offer(candidate)) for candidate in maker.aimed(task, bench, known, goals)]
    found.sort(key=lambda one: -one[1].size_bytes)
    chosen = choose([offer for _, offer in found])
    versions = (task.base, *held)
    made = tuple(
        Made(measure(candidate, offer.size_bytes, held, new), offer, chosen.get(candidate.name, ""))
        for candidate, offer in found
    )
    return Ladder(task, versions, new, made, fallback, time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class _Bar:
    """What candidates are chosen on: samples set aside for that.

    Where the new version was trained on them nearly every candidate says the same classes there as it does. How far scores have moved tells
    them apart (docs/decisions/0032).
    """

    task: Task
    new: Reference
    scores: Array

    @classmethod
    def of(cls, task: Task) -> "_Bar":
        """Ask the new version."""
        _, samples = task.parts
        return cls(task, Reference.of(task.new, samples), _scores(task.new_model, samples))

    def offer(self, candidate: Candidate) -> Offer:
        """How far its scores are from the new version's; the difference of accuracies as small as its interval allows."""
        judged = judge(candidate.path, self.new)
        scores = _scores(read_model(candidate.path), self.new.samples)
        difference = judged.difference
        if judged.paired is not None:
            lowest, highest = judged.paired.difference_ci95
            difference = max(lowest, min(0.0, highest))
        asked = 0 if self.task.choosing is None else len(self.new.samples)
        return Offer(
            candidate.name,
            delta_bytes(self.task.base, candidate.path),
            divergence(scores, self.scores),
            difference,
            asked=asked,
            others=round(asked * (1 - judged.agreement)),
        )


def _scores(model: onnx.ModelProto, samples: Samples) -> Array:
    """What the ruler takes the classes from, the first output with scores: a row a sample."""
    found = Walk(model, samples).values([output.name for output in model.graph.output], {})
    return next(scores for scores in found if is_scores(scores))


def _by_training() -> RungMaker:
    # Only this maker needs torch.
    from compression.ladder.trained import TrainedRungs

    return TrainedRungs()


def _candidates(task: Task, bench: Bench, maker: RungMaker, spare: RungMaker) -> tuple[list[Candidate], str]:
    """What the maker makes, or where it cannot work with the graph, what the spare one does and why."""
    aligned = task.aligned  # a pair that does not correspond is nobody's to make
    try:
        found, why = list(maker.make(task, bench)), ""
    except ModelUnusable as error:
        found, why = list(spare.make(task, bench)), str(error)
    if not found:
        raise ModelUnusable(f"{len(aligned.moving)} tensors differ, and no rung could be made")
    return found, why
