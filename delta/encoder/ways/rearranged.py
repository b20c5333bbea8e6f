"""The same items stand in the base in another order: transposed, blocked, cut, joined, with gates or rows permuted."""

from collections.abc import Iterator, Sequence

import numpy as np

from delta.arrays import ITEM_TYPES
from delta.encoder.base_tensors import Counterpart
from delta.encoder.matching.arrangement import Run
from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef
from delta.encoder.way import InBlocks, Proposal, Way
from delta.encoder.ways.moved import prediction
from delta.predictors.copy import Copy
from delta.predictors.literal import Literal

MIN_RUN_BYTES = 64
"""A copy of its own takes some 5 bytes in the index, and ends what is drawn around it."""
MIN_COPIED = 0.5


def propose(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    """A counterpart in another layout that is right as it is, or copies of the runs that it was made of."""
    exact = next((old for old in scene.base.counterparts(tensor) if _equal(old, tensor, scene)), None)
    starts = exact.layout.starts if exact is not None and exact.layout is not None else ()
    if exact is not None and not starts:
        yield (Way(tensor.size, *prediction(exact)),)
        return
    if exact is None and scene.base.recognises(tensor):
        return
    runs = scene.base.runs(tensor, MIN_RUN_BYTES)
    copied = sum(run.length for run in runs if run.offset is not None)
    if exact is not None and (copied < tensor.size or len(runs) > len(starts)):
        yield (Way(tensor.size, *prediction(exact)),)
    elif copied >= MIN_COPIED * tensor.size:
        yield tuple(_ways(runs, tensor, scene))


def _equal(old: Counterpart, tensor: TensorRef, scene: Scene) -> bool:
    return np.array_equal(scene.base.values(old).view(np.uint8), scene.octets(tensor))


def _ways(runs: Sequence[Run], tensor: TensorRef, scene: Scene) -> Iterator[Way]:
    kind, content = ITEM_TYPES[tensor.item], scene.octets(tensor)
    for run in runs:
        if run.offset is None:
            rest = content[run.first : run.first + run.length].view(kind)
            yield Way(run.length, Literal.number, guess=InBlocks("literal", rest))
        else:
            yield Way(run.length, Copy.number, (run.offset,))
