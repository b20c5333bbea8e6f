"""Formulas of any kind, from anybody: a typed refusal or an output, no warning and no crash, whatever floats the base has."""

import hashlib
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from delta import decoder
from delta.arrays import ITEM_TYPES
from delta.coders import zstd
from delta.errors import OutputMismatch, PatchMalformed
from delta.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64
from delta.format import Header, Identity, serialise_index
from delta.formulas import OPERATIONS, Formula
from delta.formulas.folded import Gains
from delta.formulas.quantised import Codes, Scaled, Scales
from delta.formulas.stored import Stored
from delta.layouts import Layout
from delta.limits import Limits
from delta.predictors.computed import Computed
from delta.spans import Span
from delta.versions import FORMAT_VERSION

STRANGE = np.array([0, 1 << 31, 1, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00001, 0x7F800001], "<u4")
"""Zeros of both signs, the least number, the greatest ones, infinities, a quiet and a signalling NaN."""
LIMITS = Limits(wall_s=10.0)
BITS = st.one_of(st.sampled_from([*STRANGE.tolist(), 0x33800000, 0x477FE000]), st.integers(0, 1 << 32))
PLAUSIBLE = {
    "base_offset": st.integers(0, 9).map(lambda place: 4 * place),
    "layout": st.sampled_from((0, 0, 0, 1)),
    "kind": st.sampled_from((FLOAT32, FLOAT32, FLOAT32, FLOAT16, BFLOAT16, FLOAT64)),
    "count": st.integers(1, 40),
    "channels": st.integers(1, 6),
    "inner": st.integers(1, 9),
    "code_type": st.integers(0, 3),
    "below": st.sampled_from((0, 0, 8, 127, 128)),
    "above": st.sampled_from((7, 15, 127, 255)),
    "laying": st.integers(0, 4),
    "single": st.integers(0, 1),
}
WILD = st.sampled_from((0, 4, 1 << 16, 1 << 31, 1 << 62))
ITEMS = {"codes": 0, "nibbles": 0, "zero_points": 0, "truncated": 1}
"""The item types that fit most of what operations give; float32 elsewhere."""


@st.composite
def formulas(draw: st.DrawFn) -> list[Formula]:
    """A list in which every formula refers to those before it, and most operands are such as make sense."""
    made: list[Formula] = []
    for _ in range(draw(st.integers(1, 10))):
        operation = OPERATIONS[draw(st.sampled_from(sorted(OPERATIONS)))] if made else OPERATIONS[Stored.number]
        inputs = [draw(st.sampled_from(_candidates(made, name))) for name in operation.operands[: operation.inputs]]
        others = [draw(_operand(name)) for name in operation.operands[operation.inputs :]]
        made.append(Formula(operation.number, (*inputs, *others)))
    return made


def _candidates(made: list[Formula], name: str) -> list[int]:
    """The formulas that an input of that name would take, or all where there are none."""
    wanted = {"scales": {Scales.number, Scaled.number}, "codes": {Codes.number}, "gains": {Gains.number}}
    fitting = [number for number, formula in enumerate(made) if formula.operation in wanted.get(name, {Stored.number})]
    return fitting or list(range(len(made)))


def _operand(name: str) -> st.SearchStrategy[int]:
    usual = PLAUSIBLE.get(name, BITS)
    return st.integers(0, 60).flatmap(lambda chance: usual if chance else WILD)


@settings(deadline=None, max_examples=200)
@given(
    made=formulas(),
    patterns=st.lists(
        st.one_of(st.sampled_from(STRANGE.tolist()), st.integers(0, (1 << 32) - 1)), min_size=80, max_size=100
    ),
    item=st.sampled_from((None, None, None, 0, 1, 2, 3)),
    items=st.integers(1, 12),
    layouts=st.lists(st.builds(Layout, st.tuples(st.integers(9, 30)), st.tuples(st.integers(0, 3))), max_size=2),
)
def test_any_formulas_give_an_output_or_a_typed_error(
    made: list[Formula], patterns: list[int], item: int | None, items: int, layouts: list[Layout]
) -> None:
    item = ITEMS.get(OPERATIONS[made[-1].operation].name, 2) if item is None else item
    length = items * ITEM_TYPES[item].itemsize
    base = np.array(patterns, "<u4").tobytes()
    index = serialise_index([], layouts, (), [Span(Computed.number, length, (len(made) - 1, item))], made)
    coded = zstd.compress(index, level=1)
    old = Identity(hashlib.sha256(base).hexdigest(), len(base))
    header = Header(FORMAT_VERSION, old, Identity("00" * 32, length), 4096, 0, 0, 1, len(index), len(coded))
    with TemporaryDirectory() as folder:
        base_path, patch = Path(folder) / "base", Path(folder) / "patch"
        base_path.write_bytes(base)
        patch.write_bytes(header.serialise() + coded)
        with suppress(PatchMalformed, OutputMismatch):
            decoder.verify(base_path, patch, limits=LIMITS)
