"""From two files to a draft: tensors by the best of their candidates, everything between them by copies and text."""

from collections.abc import Iterator

import numpy as np

from delta.arrays import Octets
from delta.encoder.base_tensors import BaseTensors
from delta.encoder.candidates import candidates, choose
from delta.encoder.draft import Draft
from delta.encoder.effort import Settings
from delta.encoder.matcher import Matcher
from delta.encoder.onnx_tensors import TensorRef, find_tensors
from delta.encoder.quantised import Quantised, recognise
from delta.predictors.quantise import Quantise

MIN_TENSOR_BYTES = 128
"""Smaller tensors are text: a span of their own would cost more than it saves."""


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
        self._draft = Draft(settings)
        self._matcher = None if base is None else Matcher(base)
        self._base_tensors = BaseTensors(*_tensors_of(base))
        self._base_cursor = 0
        self._tensors = find_tensors(new.data)
        self._quantised: dict[int, Quantised] = {}
        self._table_offsets: dict[int, int] = {}
        self._recognise_quantised()

    def plan(self) -> Draft:
        at = 0
        for tensor in self._worthwhile():
            self._gap(at, tensor.offset)
            self._tensor(tensor)
            at = tensor.end
        self._gap(at, self._new.size)
        return self._draft

    def _tensor(self, tensor: TensorRef) -> None:
        if tensor.offset in self._quantised:
            self._codes(tensor, self._quantised[tensor.offset])
            return
        if tensor.offset in self._table_offsets:
            self._draft.table(self._table_offsets[tensor.offset], tensor.size)
            return
        same = self._base_tensors.identical(self._new[tensor.offset : tensor.end])
        if same is not None:
            self._draft.copy(same.offset, same.size)
            self._base_cursor = same.end
            return
        way = choose(candidates(self._new, tensor, self._base_tensors), self._settings)
        self._draft.predicted(way.predictor, tensor.size, way.operands, way.residual)
        counterparts = self._base_tensors.counterparts(tensor)
        if counterparts:
            self._base_cursor = counterparts[0].end

    def _recognise_quantised(self) -> None:
        """Find codes that follow from the base's weights, and put their scales where the decoder has them in time."""
        named = {tensor.name: tensor for tensor in self._tensors}
        for tensor in self._tensors:
            way = recognise(tensor, self._new, named, self._base_tensors) if tensor.size >= MIN_TENSOR_BYTES else None
            if way is not None:
                self._quantised[tensor.offset] = way
                self._table_offsets[way.scale_tensor.offset] = self._draft.put_in_table(way.grid.scales.tobytes())

    def _codes(self, tensor: TensorRef, way: Quantised) -> None:
        scales_at = self._draft.put_in_table(way.grid.scales.tobytes())
        zero_points_at = self._draft.put_in_table(way.grid.zero_points.tobytes())
        operands = (
            way.weights.offset,
            scales_at,
            zero_points_at,
            way.grid.channels,
            way.grid.inner,
            way.grid.code_item,
        )
        self._draft.predicted(Quantise.number, tensor.size, operands, way.corrections)

    def _worthwhile(self) -> Iterator[TensorRef]:
        return (
            tensor
            for tensor in self._tensors
            if tensor.size >= MIN_TENSOR_BYTES or tensor.offset in self._table_offsets
        )

    def _gap(self, start: int, end: int) -> None:
        """Bytes between tensors: what the base has is copied, the rest is text."""
        at = start
        if self._matcher is not None:
            for match in self._matcher.matches(self._new, start, end, self._base_cursor):
                self._text(at, match.target)
                self._draft.copy(match.base, match.length)
                at = match.target + match.length
                self._base_cursor = match.base + match.length
        self._text(at, end)

    def _text(self, start: int, end: int) -> None:
        if end > start:
            self._draft.text(self._new[start:end])


def _tensors_of(base: Octets | None) -> tuple[Octets, list[TensorRef]]:
    file = np.empty(0, np.uint8) if base is None else base
    return file, find_tensors(file.data)
