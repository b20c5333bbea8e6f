"""From two files to a draft: tensors by the best of the ways proposed, everything between them by copies and text."""

from collections.abc import Sequence

import numpy as np

from delta.arrays import Octets
from delta.encoder.choice import choose
from delta.encoder.containers import find_tensors
from delta.encoder.covers import Cover, find_covers
from delta.encoder.draft import Draft
from delta.encoder.effort import Settings
from delta.encoder.matcher import Matcher
from delta.encoder.primer import NO_PRIMER, primer_of, ranges_between
from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef, VarintsRef
from delta.encoder.way import Proposal
from delta.encoder.ways import proposals, varints
from delta.predictors import PREDICTORS
from delta.text.codec import MAX_TEXT_BYTES

MIN_TENSOR_BYTES = 128
"""Smaller tensors are text, unless one is known exactly: a span of their own would cost more than it saves."""

_MIN_COPY_BYTES = 1 << 12
"""Equal bytes within a changed stretch are copied apart from here on; fewer cost less as zeros among its changes."""


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
        self._covers: list[Cover] = []

    def plan(self) -> Draft:
        chosen = [(tensor, self._proposal(tensor)) for tensor in self._scene.in_order()]
        placed = [(tensor, proposal) for tensor, proposal in chosen if proposal is not None]
        text_bytes = self._new.size - sum(tensor.size for tensor, _ in placed)
        is_whole = self._settings.hard_text and self._settings.whole_text
        self._text_is_short = is_whole and text_bytes <= MAX_TEXT_BYTES
        self._covers = self._find_covers([tensor for tensor, _ in placed])[::-1]
        at = 0
        for tensor, proposal in placed:
            self._gap(at, tensor.offset)
            self._draft.take(proposal)
            self._move_cursor(proposal, tensor)
            at = tensor.end
        self._gap(at, self._new.size)
        return self._draft

    def _find_covers(self, placed: Sequence[TensorRef | VarintsRef]) -> list[Cover]:
        """Of long text, where that is asked for; the base's tensors are left out where the new file has any."""
        if self._base is None or self._text_is_short or not self._settings.hard_text:
            return []
        left_out = find_tensors(self._base.data).fixed if placed else []
        ranges = ranges_between(left_out, self._base.size)
        return list(find_covers(self._base, ranges, self._new, ranges_between(placed, self._new.size)))

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
        if self._base is not None and self._settings.hard_text:
            self._covered_gap(self._base, start, end)
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

    def _covered_gap(self, base: Octets, start: int, end: int) -> None:
        at = start
        while self._covers and self._covers[-1].target < end:
            cover = self._covers.pop()
            self._text(at, cover.target)
            self._cover(base, cover)
            at = cover.target + cover.length
        self._text(at, end)

    def _cover(self, base: Octets, cover: Cover) -> None:
        """A copy with changes; what is equal for long, or all of it, is copied alone."""
        new = self._new[cover.target : cover.target + cover.length]
        old = base[cover.base : cover.base + cover.length]
        at = 0
        for start, stop in [*_changed_ranges(new, old), (cover.length, cover.length)]:
            if start > at:
                self._draft.copy(cover.base + at, start - at)
            if stop > start:
                self._draft.changed(cover.base + start, new[start:stop], old[start:stop])
            at = stop

    def _text(self, start: int, end: int) -> None:
        if end > start:
            self._draft.text(self._new[start:end])


def _changed_ranges(new: Octets, old: Octets) -> list[tuple[int, int]]:
    """Where they differ; equal bytes between are within the range unless they are many."""
    changed = np.flatnonzero(new != old)
    if changed.size == 0:
        return []
    first, last = int(changed[0]), int(changed[-1]) + 1
    breaks = np.flatnonzero(np.diff(changed) > _MIN_COPY_BYTES)
    starts = [first if first > _MIN_COPY_BYTES else 0, *changed[breaks + 1].tolist()]
    stops = [*(changed[breaks] + 1).tolist(), last if new.size - last > _MIN_COPY_BYTES else new.size]
    return list(zip(starts, stops, strict=True))
