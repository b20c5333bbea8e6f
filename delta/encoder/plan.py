"""From two files to a draft: tensors by the best of the ways proposed, everything between them by copies and text."""

import numpy as np

from delta.arrays import Octets
from delta.encoder.choice import choose
from delta.encoder.containers import find_tensors
from delta.encoder.draft import Draft
from delta.encoder.effort import Settings
from delta.encoder.matcher import Matcher
from delta.encoder.primer import NO_PRIMER, primer_of
from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef, VarintsRef
from delta.encoder.way import Proposal
from delta.encoder.ways import proposals, varints
from delta.predictors import PREDICTORS
from delta.text.codec import MAX_TEXT_BYTES

MIN_TENSOR_BYTES = 128
"""Smaller tensors are text, unless one is known exactly: a span of their own would cost more than it saves."""


def draft_plain(new: Octets, settings: Settings) -> Draft:
    """All of the file as text: what a general compressor would do."""
    draft = Draft(settings)
    if new.size:
        draft.text(new)
    return draft


def draft_structured(base: Octets | None, new: Octets, settings: Settings) -> Draft:
    """Tensors predicted, the rest copied where the base has it."""
    return _Planner(base, new, settings).plan()


class _Planner:
    def __init__(self, base: Octets | None, new: Octets, settings: Settings) -> None:
        self._new = new
        self._settings = settings
        self._base = base
        primer = NO_PRIMER if base is None else primer_of(base, find_tensors(base.data).fixed)
        self._draft = Draft(settings, primer)
        self._matcher = None if base is None else Matcher(base)
        self._scene = Scene.of(base, new, settings)
        self._base_cursor = 0
        self._text_is_short = False

    def plan(self) -> Draft:
        chosen = [(tensor, self._proposal(tensor)) for tensor in self._scene.in_order()]
        placed = [(tensor, proposal) for tensor, proposal in chosen if proposal is not None]
        text_bytes = self._new.size - sum(tensor.size for tensor, _ in placed)
        self._text_is_short = self._settings.hard_text and text_bytes <= MAX_TEXT_BYTES
        at = 0
        for tensor, proposal in placed:
            self._gap(at, tensor.offset)
            self._draft.take(proposal)
            self._move_cursor(proposal, tensor)
            at = tensor.end
        self._gap(at, self._new.size)
        return self._draft

    def _proposal(self, tensor: TensorRef | VarintsRef) -> Proposal | None:
        """The best way to send a tensor; none where it is too small for spans of its own."""
        if isinstance(tensor, VarintsRef):
            return varints.propose(tensor, self._scene)
        found = proposals(tensor, self._scene)
        if tensor.size < MIN_TENSOR_BYTES:
            found = [proposal for proposal in found if all(way.is_free for way in proposal)]
        return choose(found, self._settings) if found else None

    def _move_cursor(self, proposal: Proposal, tensor: TensorRef | VarintsRef) -> None:
        """Where the base would go on after this tensor: after the one it came from."""
        counterparts = self._scene.base.counterparts(tensor) if isinstance(tensor, TensorRef) else []
        if counterparts:
            self._base_cursor = counterparts[0].tensor.end
            return
        last = proposal[-1]
        if PREDICTORS[last.predictor].reads_base and isinstance(last.operands[0], int):
            self._base_cursor = last.operands[0] + last.length

    def _gap(self, start: int, end: int) -> None:
        """Bytes between tensors: what the base has is copied, the rest is text.

        Short text is left whole: its coder knows the base's too, and needs fewer bytes for a repeat than a span takes.
        """
        at = start
        if self._text_is_short:
            self._whole_gap(start, end)
            return
        if self._matcher is not None:
            for match in self._matcher.matches(self._new, start, end, self._base_cursor):
                self._text(at, match.target)
                self._draft.copy(match.base, match.length)
                at = match.target + match.length
                self._base_cursor = match.base + match.length
        self._text(at, end)

    def _whole_gap(self, start: int, end: int) -> None:
        expected = self._base_cursor + end - start
        if self._base is not None and np.array_equal(self._new[start:end], self._base[self._base_cursor : expected]):
            if end > start:
                self._draft.copy(self._base_cursor, end - start)
            self._base_cursor = expected
        else:
            self._text(start, end)

    def _text(self, start: int, end: int) -> None:
        if end > start:
            self._draft.text(self._new[start:end])
