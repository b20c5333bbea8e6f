"""Weights that a release kept or only tuned, under another name, in another order or layout: what a patch costs then."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from delta.encoder import Effort
from delta.encoder.effort import SETTINGS
from delta.encoder.scene import Scene
from tests.delta.conftest import RoundTrip, build

Array = NDArray[np.generic]
Rearrange = Callable[[Array], Array]

HIDDEN, INPUTS = 48, 40
MOST_BYTES = 450
"""Of a patch for weights that are all there: header, index, a graph with another name."""


def random(*shape: int, seed: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def tuned(weights: Array) -> Array:
    """Every weight moved by a hundredth of its spread."""
    change = np.random.default_rng(4).normal(0, 1e-3, weights.shape)
    return (weights.astype(np.float64) + change).astype(weights.dtype)


def in_order(*order: int) -> Rearrange:
    """Equal blocks of rows in another order, such as the gates of an LSTM."""
    return lambda weights: np.concatenate([np.split(weights, len(order))[block] for block in order])


def scene(base: bytes, new: bytes) -> Scene:
    return Scene.of(np.frombuffer(base, np.uint8), np.frombuffer(new, np.uint8), SETTINGS[Effort.MAX])


REARRANGED: dict[str, tuple[tuple[int, ...], Rearrange]] = {
    "transposed": ((60, 90), lambda weights: weights.T),
    "transposed square": ((64, 64), lambda weights: weights.T),
    "channels last": ((48, 32, 3, 3), lambda weights: weights.transpose(0, 2, 3, 1)),
    "input and output swapped": ((32, 32, 3, 3), lambda weights: weights.transpose(1, 0, 2, 3)),
    "kernel first": ((48, 32, 3, 5), lambda weights: weights.transpose(2, 3, 1, 0)),
    "reshaped": ((48, 32, 3, 3), lambda weights: weights.reshape(48, -1)),
    "transposed and squeezed": ((64, 96, 1, 1), lambda weights: weights[:, :, 0, 0].T),
    "LSTM gates": ((4 * HIDDEN, INPUTS), in_order(0, 2, 3, 1)),
    "GRU gates": ((3 * HIDDEN, INPUTS), in_order(1, 0, 2)),
    "LSTM gates of two directions": ((8 * HIDDEN, INPUTS), in_order(4, 6, 7, 5, 0, 2, 3, 1)),
    "LSTM gates, transposed": ((INPUTS, 4 * HIDDEN), lambda weights: in_order(0, 3, 1, 2)(weights.T)),
}
ALL = pytest.mark.parametrize("how", REARRANGED)


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", ["weight", "renamed"])
def test_rearranged_weights_cost_next_to_nothing(
    round_trip: RoundTrip, how: str, dtype: type[np.generic], name: str
) -> None:
    shape, rearrange = REARRANGED[how]
    weights = random(*shape).astype(dtype)
    others = {"other": random(*shape, seed=5).astype(dtype)}
    new = build({name: np.ascontiguousarray(rearrange(weights)), **others})
    assert len(round_trip(build({"weight": weights, **others}), new, Effort.FAST)) < MOST_BYTES


@ALL
def test_tuned_weights_are_predicted_wherever_they_went(round_trip: RoundTrip, how: str) -> None:
    """As many bytes as when they stay where they were, but for the graph."""
    shape, rearrange = REARRANGED[how]
    base = build({"other": random(*shape, seed=5), "weight": random(*shape)})
    stayed = len(round_trip(base, build({"weight": tuned(random(*shape))}), Effort.FAST))
    new = build({"renamed": np.ascontiguousarray(rearrange(tuned(random(*shape))))})
    assert len(round_trip(base, new, Effort.FAST)) < 1.05 * stayed + 100


def blocked(weights: Array) -> Array:
    """As ONNX Runtime stores convolutions for its blocked kernels (OIHW to blocks of 16 outputs by 16 inputs)."""
    outputs, inputs, *kernel = weights.shape
    return weights.reshape(outputs // 16, 16, inputs // 16, 16, *kernel).transpose(0, 2, 4, 5, 3, 1)


def padded(weights: Array) -> Array:
    """The same where outputs and inputs are no multiples of 16: zeros fill the blocks."""
    (outputs, inputs), kernel = weights.shape[:2], weights.shape[2:]
    wide = np.pad(weights, [(0, -outputs % 16), (0, -inputs % 16), *[(0, 0) for _ in kernel]])
    return blocked(wide)


def half_zero(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(random(*weights.shape, seed=6) > 0, weights, 0).astype(np.float32)


WEIGHTS: Array = random(64, 32, 3, 3)
SQUARES: list[Array] = [random(64, 64, seed=seed) for seed in range(3)]
PRUNED: Array = half_zero(random(64, 32, 3, 3))
ROW: Array = random(1, 32, 3, 3, seed=7)
REMADE: dict[str, tuple[list[Array], list[Array]]] = {
    "blocked": ([WEIGHTS], [blocked(WEIGHTS)]),
    "blocked, half of it zero": ([PRUNED], [blocked(PRUNED)]),
    "blocked and padded": ([WEIGHTS[:40, :24]], [padded(WEIGHTS[:40, :24])]),
    "blocked and padded, one to one": (
        [WEIGHTS.reshape(48, -1, 1, 1)[:, :360]],
        [padded(WEIGHTS.reshape(48, -1, 1, 1)[:, :360])],
    ),
    "joined": ([*SQUARES, WEIGHTS], [np.concatenate([SQUARES[2].ravel(), WEIGHTS.ravel(), SQUARES[0].ravel()])]),
    "joined side by side": ([*SQUARES], [np.concatenate(SQUARES, axis=1)]),
    "cut in rows": ([WEIGHTS], [WEIGHTS[16:24], WEIGHTS[24:40]]),
    "cut in columns": ([np.concatenate(SQUARES, axis=1)], SQUARES[:2]),
    "rows shuffled": ([WEIGHTS], [WEIGHTS[np.random.default_rng(8).permutation(64)]]),
    "classifier on features in another order": (
        [WEIGHTS.reshape(32, 16, 36)],
        [WEIGHTS.reshape(32, 16, 36).transpose(0, 2, 1).reshape(32, -1)],
    ),
    "rows added": ([WEIGHTS[:60]], [np.concatenate([WEIGHTS[:60], ROW])]),
}


@pytest.mark.parametrize("how", REMADE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_remade_tensors_cost_next_to_nothing(round_trip: RoundTrip, how: str, dtype: type[np.generic]) -> None:
    before, after = (
        {f"{side} {number}": np.ascontiguousarray(array).astype(dtype) for number, array in enumerate(arrays)}
        for side, arrays in zip(("old", "new"), REMADE[how], strict=True)
    )
    unknown = 32 * 3 * 3 * np.dtype(dtype).itemsize if how == "rows added" else 0
    assert len(round_trip(build(before), build(after), Effort.FAST)) < MOST_BYTES + unknown


@pytest.mark.parametrize("how", ["joined", "joined side by side", "cut in rows", "cut in columns", "rows shuffled"])
@pytest.mark.parametrize("dtype", [np.int8, np.float16])
def test_narrow_items_are_found_in_words(round_trip: RoundTrip, how: str, dtype: type[np.generic]) -> None:
    before, after = (
        {f"{side} {number}": (array * 300).astype(dtype) for number, array in enumerate(arrays)}
        for side, arrays in zip(("old", "new"), REMADE[how], strict=True)
    )
    assert len(round_trip(build(before), build(after), Effort.FAST)) < MOST_BYTES


def test_codes_in_another_order_cost_next_to_nothing(round_trip: RoundTrip) -> None:
    codes = np.clip(np.rint(random(80, 120) * 300), -128, 127).astype(np.int8)
    assert len(round_trip(build({"codes": codes}), build({"renamed": np.ascontiguousarray(codes.T)}))) < MOST_BYTES


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((40, 64), (44, 64)),
        ((44, 64), (40, 64)),
        ((40, 60), (40, 66)),
        ((30, 20, 3, 3), (32, 24, 3, 3)),
        ((90,), (100,)),
    ],
)
def test_tuned_weights_of_another_size_are_predicted_where_both_have_them(
    round_trip: RoundTrip, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    """As when classes are added to a classifier: what is new costs its bytes, what is tuned as much as elsewhere."""
    kept = tuple(slice(min(extents)) for extents in zip(before, after, strict=True))
    old, new = random(*before), random(*after, seed=9)
    new[kept] = tuned(old[kept])
    others: dict[str, Array] = {"other": random(30, 30)}
    stayed = len(round_trip(build({"weight": old[kept], **others}), build({"weight": new[kept], **others})))
    fresh = new.nbytes - new[kept].nbytes
    assert len(round_trip(build({"weight": old, **others}), build({"weight": new, **others}))) < stayed + fresh + 200


def test_the_same_seed_gives_no_counterpart_to_weights_trained_anew() -> None:
    base, new = build({"weight": random(64, 64)}), build({"weight": random(64, 64, seed=9)})
    seen = scene(base, new)
    assert not seen.base.counterparts(seen.tensors[0])


def test_a_name_that_went_to_other_weights_does_not_mislead() -> None:
    """As when layers are counted anew: the likeness of the values says where they come from."""
    one, other = random(64, 64), random(64, 64, seed=9)
    seen = scene(build({"layer.0": one, "layer.1": other}), build({"layer.1": tuned(one), "layer.2": tuned(other)}))
    assert [seen.base.counterparts(tensor)[0].tensor.name for tensor in seen.tensors] == ["layer.0", "layer.1"]


def test_constant_and_tiny_tensors_go_by_their_name() -> None:
    tensors: dict[str, Array] = {"zeros": np.zeros(64, np.float32), "tiny": random(3)}
    changed: dict[str, Array] = {"zeros": np.full(64, 2, np.float32), "tiny": random(3, seed=9)}
    seen = scene(build(tensors), build(changed))
    for tensor in seen.tensors:
        assert [old.tensor.name for old in seen.base.counterparts(tensor)] == [tensor.name]


@ALL
def test_a_counterpart_may_be_of_another_type(how: str) -> None:
    shape, rearrange = REARRANGED[how]
    weights = random(*shape)
    halves = np.ascontiguousarray(rearrange(weights).astype(np.float16))
    seen = scene(build({"weight": weights}), build({"other": halves}))
    tensor = seen.tensors[0]
    assert not seen.base.counterparts(tensor)
    (old,) = seen.base.counterparts(tensor, data_type=1)
    assert np.array_equal(seen.base.values(old).astype(np.float16), seen.values(tensor))


def typed(tensors: dict[str, Array]) -> bytes:
    """A model whose initializers hold their values in `float_data`, `int32_data`, `int64_data` or `uint64_data`."""
    model = ModelProto.FromString(build(tensors))
    for proto in model.graph.initializer:
        values = tensors[proto.name]
        proto.ClearField("raw_data")
        field = {"f4": "float_data", "f8": "double_data", "i8": "int64_data", "u8": "uint64_data"}
        as_written = {"f2": np.uint16, "b1": np.uint8}.get(values.dtype.str[1:])
        items = values if as_written is None else values.view(as_written)
        getattr(proto, field.get(values.dtype.str[1:], "int32_data")).extend(items.ravel().tolist())
    return bytes(model.SerializeToString(deterministic=True))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "i8", "u8", "f2", "f4", "f8", "?"])
def test_values_in_typed_fields_come_from_raw_ones(round_trip: RoundTrip, dtype: str) -> None:
    numbers = np.random.default_rng(2).normal(0, 60, (90, 100))
    weights = (numbers > 0 if dtype == "?" else np.abs(numbers) if dtype[0] == "u" else numbers).astype(dtype)
    others: dict[str, Array] = {"other": random(30, 30)}
    tensors: dict[str, Array] = {"weight": weights, **others}
    assert len(round_trip(build(tensors), typed(tensors), Effort.FAST)) < MOST_BYTES


def test_varints_written_the_long_way_come_back(round_trip: RoundTrip) -> None:
    """A writer may pad a varint; what cannot be rebuilt from the numbers is sent as it is."""
    codes = np.arange(100, dtype=np.int8)
    short = bytes(codes)
    padded = typed({"weight": codes})
    assert short in padded
    round_trip(build({"weight": codes}), padded.replace(short, short[:-2] + b"\xe2\x00"))
