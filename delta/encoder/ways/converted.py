"""Floats in another precision, narrowed or widened by a converter and perhaps trained on after, or with a norm folded in."""

from collections.abc import Iterator

import numpy as np

from delta import floats
from delta.arrays import Items
from delta.corrections import ordered
from delta.corrections.ordered import Ordered
from delta.encoder.numbers import KINDS, items_of, resemble
from delta.encoder.scene import Scene
from delta.encoder.tensors import TensorRef
from delta.encoder.terms import Term
from delta.encoder.way import InBlocks, Proposal, Way
from delta.encoder.ways.moved import Prediction, in_context
from delta.floats import BFLOAT16, FLOAT16
from delta.formulas.converted import Clipped, Rounded, Truncated
from delta.formulas.stored import Stored
from delta.predictors.computed import Computed

MIN_BYTES = 16
"""Smaller ones are cheaper as text."""
_SAMPLE_ITEMS = 128
_ADJOINING_STEPS = 8
_ADJOINING_SHARE = 0.9
"""So many of the sampled numbers lie so few representable numbers from what is expected."""
_CLIPS = ((5.96e-08, 65504.0), (1e-07, 1e4))
"""What converters to float16 bring magnitudes into: ONNX Runtime's (transformers/float16.py) and onnxconverter-common's
(float16.py), by default."""


def propose(tensor: TensorRef, scene: Scene) -> Iterator[Proposal]:
    """Numbers of the base, exactly converted, whatever their name; or those that come near, with corrections."""
    if tensor.data_type not in KINDS or tensor.size < MIN_BYTES:
        return
    values = scene.values(tensor)
    count = items_of(tensor)
    near: Term | None = None
    kind = KINDS[tensor.data_type]
    for source in scene.numbers.sources(tensor, count):
        if source.operation == Stored.number and source.operands[2] == kind:
            continue
        for term in _conversions(source, kind):
            if _sample_equals(values, term, scene) and np.array_equal(_patterns(term, values, scene), values):
                yield (Way(tensor.size, Computed.number, (term, tensor.item)),)
                return
        rounded = Term(Rounded.number, (source, kind))
        alike = _sample_resembles if source.operation == Stored.number else _sample_adjoins
        if near is None and alike(tensor, values, rounded, scene):
            near = rounded
    if near is not None:
        yield from _corrected(tensor, values, near, scene)


def _conversions(source: Term, kind: int) -> Iterator[Term]:
    yield Term(Rounded.number, (source, kind))
    if kind == FLOAT16:
        for tiny, huge in _CLIPS:
            bits = (int(np.float32(bound).view(np.uint32)) for bound in (tiny, huge))
            yield Term(Rounded.number, (Term(Clipped.number, (source, *bits)), kind))
    elif kind == BFLOAT16:
        yield Term(Truncated.number, (source,))


def _corrected(tensor: TensorRef, values: Items, term: Term, scene: Scene) -> Iterator[Proposal]:
    predicted = _patterns(term, values, scene).view(values.dtype)
    operands = (term, tensor.item)
    drawn = InBlocks("ordered", ordered.residual(values, predicted))
    yield (Way(tensor.size, Computed.number, operands, Ordered.number, drawn=drawn),)
    if scene.settings.contexts and tensor.data_type in (1, 10, 16):
        yield from in_context(tensor, values, Prediction(Computed.number, operands, predicted))


def _patterns(term: Term, values: Items, scene: Scene) -> Items:
    return scene.numbers.items(term, values.size).view(values.dtype)


def _samples(values: Items) -> list[int]:
    """Where two short runs start, which stand for all."""
    return [0, max(values.size // 2 - _SAMPLE_ITEMS, 0)]


def _sample_equals(values: Items, term: Term, scene: Scene) -> bool:
    for first in _samples(values):
        sample = values[first : first + _SAMPLE_ITEMS]
        if scene.numbers.items(term, sample.size, first).tobytes() != sample.tobytes():
            return False
    return True


def _sample_resembles(tensor: TensorRef, values: Items, term: Term, scene: Scene) -> bool:
    kind = KINDS[tensor.data_type]
    sampled, expected = (floats.read(one.view(np.uint8), kind).astype(np.float64) for one in _both(values, term, scene))
    return resemble(sampled, expected)


def _sample_adjoins(tensor: TensorRef, values: Items, term: Term, scene: Scene) -> bool:
    """Whether sampled numbers are nearly to the bit what is expected, as if folded by a program that rounds otherwise."""
    sampled, expected = _both(values, term, scene)
    steps = ordered.residual(sampled, expected.view(sampled.dtype))
    return bool(np.mean(np.abs(steps.astype(np.int64)) <= _ADJOINING_STEPS) >= _ADJOINING_SHARE)


def _both(values: Items, term: Term, scene: Scene) -> tuple[Items, Items]:
    """Sampled items, and what a term gives there."""
    places = [(first, values[first : first + _SAMPLE_ITEMS]) for first in _samples(values)]
    expected = [scene.numbers.items(term, sample.size, first) for first, sample in places]
    return np.concatenate([sample for _, sample in places]), np.concatenate(expected)
