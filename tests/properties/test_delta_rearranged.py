"""Weights that were rearranged in any way, tuned or not, come back: whatever the encoder takes for their origin."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from delta.encoder import Effort
from tests.delta.conftest import build
from tests.properties.delta_round_trip import round_trip

Array = NDArray[Any]
EXTENTS = st.sampled_from([1, 2, 3, 4, 6, 8, 16, 24])
DTYPES = st.sampled_from(["<f4", "<f2", "<f8", "i1", "u1", "<i4"])


@st.composite
def weights(draw: st.DrawFn) -> Array:
    """Few seeds, so that files share content; now and then half of it zero."""
    shape = draw(st.lists(EXTENTS, min_size=1, max_size=4))
    numbers = np.random.default_rng(draw(st.integers(0, 2)))
    values = numbers.normal(0, 50, shape)
    if draw(st.booleans()):
        values *= numbers.random(shape) > 0.5
    with np.errstate(invalid="ignore"):
        return values.astype(draw(DTYPES))


@st.composite
def rearranged(draw: st.DrawFn, array: Array) -> Array:
    """Some steps of what exporters, optimisers and engineers do to a tensor."""
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.sampled_from(["transpose", "reshape", "blocks", "rows", "cut", "pad", "repeat", "flip", "tune"])):
            case "transpose":
                array = array.transpose(draw(st.permutations(range(array.ndim))))
            case "reshape":
                array = array.reshape(-1, draw(st.sampled_from([n for n in (1, 2, 4, 8) if array.size % n == 0])))
            case "blocks":
                count = draw(st.sampled_from([n for n in (2, 3, 4) if array.shape[0] % n == 0] or [1]))
                array = np.concatenate([np.split(array, count)[b] for b in draw(st.permutations(range(count)))])
            case "rows":
                array = array[np.random.default_rng(1).permutation(array.shape[0])]
            case "cut":
                array = array[: draw(st.integers(1, array.shape[0]))]
            case "pad":
                array = np.pad(array, [(0, draw(st.integers(0, 3))) for _ in range(array.ndim)])
            case "repeat":
                array = np.concatenate([array, array])
            case "flip":
                array = array[::-1]
            case "tune":
                array = array + (array // 64 if array.dtype.kind in "iu" else array * array.dtype.type(0.01))
    return np.ascontiguousarray(array)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), effort=st.sampled_from(list(Effort)))
def test_rearranged_weights_come_back(data: st.DataObject, effort: Effort) -> None:
    arrays = data.draw(st.lists(weights(), min_size=1, max_size=3))
    names = data.draw(st.permutations(range(len(arrays))))
    base = build({f"w{number}": array for number, array in enumerate(arrays)})
    new = build({f"w{name}": data.draw(rearranged(array)) for name, array in zip(names, arrays, strict=True)})
    round_trip(base, new, effort)
    round_trip(new, base, effort)
