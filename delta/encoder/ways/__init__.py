"""The encoder's reasons to choose a predictor: each module proposes ways to send one tensor, if it knows any.

The only place that names them all. To add one: a module with `propose(tensor, scene)`, and its line in `_PROPOSERS`.
All that is proposed is measured, and the smallest taken; the earlier one where two are equal.
"""

from collections.abc import Callable, Iterator

from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef
from delta.encoder.way import Proposal
from delta.encoder.ways import converted, identical, literal, low_rank, moved, palette, quantised, rearranged, steps

_PROPOSERS: tuple[Callable[[TensorRef, Scene], Iterator[Proposal]], ...] = (
    identical.propose,
    rearranged.propose,
    quantised.propose,
    converted.propose,
    steps.propose,
    palette.propose,
    moved.propose,
    low_rank.propose,
    literal.propose,
)


def proposals(tensor: TensorRef, scene: Scene) -> list[Proposal]:
    """All that anybody proposes; only the first where it draws nothing: nothing can be smaller."""
    found: list[Proposal] = []
    for propose in _PROPOSERS:
        for proposal in propose(tensor, scene):
            if not found and all(way.is_free for way in proposal):
                return [proposal]
            found.append(proposal)
    return found
