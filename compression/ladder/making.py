"""A ladder, as a use case: make candidates, choose on samples set aside for that, then measure on samples that nothing was chosen on.

Torch is imported only where rungs are trained.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.paired import compare
from compression.datasets import Samples
from compression.errors import ModelUnusable
from compression.ladder.choice import Offer, choose
from compression.ladder.post_training import PostTraining
from compression.ladder.rungs import Bench, Candidate, Judged, Reference, Rung, RungMaker, judge, measure
from compression.ladder.task import Task
from compression.rate import delta_bytes

_HARD_CASES = 2
"""Mixed inputs for each sample that is chosen on."""
_MIXED_MOST = 0.3
"""The largest share of the other sample. Over seven rungs of digits, agreement on plain and hard cases together was 98.7 to 99.2 %, 98.6 to 99.4 %
on held-out images and 99.7 to 100 % on plain ones alone; with 0.2 it is too good as well, with 0.5 it is 95 %."""


@dataclass(frozen=True, slots=True)
class Made:
    """A measured rung, and what it was chosen on.

    Attributes:
        offer: bytes from the base, and agreement and difference on the samples for choosing.
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
) -> Ladder:
    """Make, choose and measure. `held` are further versions whose patches are reported; the base comes first by itself.

    Where torch cannot run the graph, `spare` makes the rungs (by default `PostTraining`, which needs no torch).

    Raises:
        CompressionError: files or samples cannot be worked with, or nobody made a rung.
    """
    started = time.monotonic()
    new = Reference.of(task.new, task.held_out)
    bar = _Bar.of(task)
    candidates, fallback = _candidates(task, bench, maker or _by_training(), spare or PostTraining(gradients=False))
    offers = [bar.offer(candidate) for candidate in candidates]
    chosen = choose(offers)
    versions = (task.base, *held)
    made = tuple(
        Made(measure(candidate, offer.size_bytes, held, new), offer, chosen.get(candidate.name, ""))
        for candidate, offer in zip(candidates, offers, strict=True)
    )
    return Ladder(task, versions, new, made, fallback, time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class _Bar:
    """What candidates are chosen on: samples set aside for that, followed by hard cases of them.

    The new version was trained on the plain ones, most likely, and is surer of them than of what will come.
    """

    task: Task
    plain: Samples
    new: Reference

    @classmethod
    def of(cls, task: Task) -> "_Bar":
        """Ask the new version."""
        _, plain = task.parts
        hard = hard_cases(plain, seed=task.seed)
        inputs = {name: np.concatenate((array, hard.inputs[name])) for name, array in plain.inputs.items()}
        return cls(task, plain, Reference.of(task.new, Samples(inputs, None)))

    def offer(self, candidate: Candidate) -> Offer:
        """Agreement on all, difference of accuracies on the plain ones."""
        judged = judge(candidate.path, self.new)
        difference = judged.difference
        if self.plain.labels is not None:
            count = len(self.plain)
            said, wanted = judged.predictions.classes[:count], self.new.predictions.classes[:count]
            difference = compare(said, wanted, self.plain.labels.tolist()).difference
        return Offer(candidate.name, delta_bytes(self.task.base, candidate.path), judged.agreement, difference)


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


def hard_cases(samples: Samples, *, seed: int) -> Samples:
    """Unlabelled: of each sample `_HARD_CASES` mixtures with up to `_MIXED_MOST` of another, which lie nearer to where classes meet.

    Inputs that are no floating numbers cannot be mixed and are taken as they are.
    """
    chance = np.random.default_rng(seed)
    count = len(samples)
    chosen = np.tile(np.arange(count), _HARD_CASES)
    partners, shares = chance.integers(count, size=chosen.size), chance.uniform(0, _MIXED_MOST, chosen.size)
    mixed = {}
    for name, array in samples.inputs.items():
        if array.dtype.kind == "f":
            share = shares.astype(array.dtype).reshape(-1, *[1] * (array.ndim - 1))
            mixed[name] = (1 - share) * array[chosen] + share * array[partners]
        else:
            mixed[name] = array[chosen]
    return Samples(mixed, None)
