"""Update after update by rungs: each ladder starts from the rung that devices got from the last one, bit for bit, so errors do not pile up.

Nothing is taken from the publisher's last version: what devices hold is the base, and whatever a rung left out is part of the next difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compression.datasets import Samples
from compression.ladder.choice import PROMISES, Promise, keeping
from compression.ladder.making import Made, make_ladder
from compression.ladder.rungs import Bench, Judged, RungMaker
from compression.ladder.task import Task


@dataclass(frozen=True, slots=True)
class Update:
    """One version, as devices got it.

    Attributes:
        made: the rung that was sent; it was judged against the publisher's version of the same number.
    """

    number: int
    made: Made

    @property
    def judged(self) -> Judged:
        """What devices say then, on held-out samples."""
        return self.made.rung.held_out

    @property
    def delta_bytes(self) -> int:
        """Of the patch from what devices held before."""
        return self.made.rung.base_bytes


def follow(
    base: Path,
    versions: Sequence[Path],
    training: Samples,
    held_out: Samples,
    *,
    maker: RungMaker,
    bench: Bench,
    choosing: Samples | None = None,
    promise: Promise = PROMISES[0],
    seed: int = 0,
) -> Iterator[Update]:
    """Bring devices that hold `base` to each of the versions by the cheapest rung that keeps `promise`, or by the one nearest to keeping it.

    `choosing` are samples that no version was trained on; without them some of `training` are set aside, as in `Task`.

    Raises:
        CompressionError: as `make_ladder`.
    """
    held = base
    for number, version in enumerate(versions, 1):
        folder = bench.folder / f"update-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        task = Task(held, version, training, held_out, seed, choosing)
        ladder = make_ladder(task, replace(bench, folder=folder), maker=maker, promises=(promise,))
        made = _sent(ladder.made, promise)
        yield Update(number, made)
        held = made.rung.candidate.path


def _sent(made: Sequence[Made], promise: Promise) -> Made:
    good = {offer.name for offer in keeping([one.offer for one in made], promise)}
    if good:
        return min((one for one in made if one.offer.name in good), key=lambda one: one.rung.base_bytes)
    return min(made, key=lambda one: one.offer.divergence)
