"""Channels are followed through graphs, and what is left computes what it computed before, where the removed channels were dead."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from compression.channels.binding import bind
from compression.channels.budget import macs_of, within_macs
from compression.channels.dead import without_dead
from compression.channels.importance import by_magnitude, by_scale, by_taylor, least
from compression.channels.removal import without
from compression.errors import ModelUnusable

Arrays = dict[str, NDArray[np.float32]]
GENERATOR = np.random.default_rng(17)
_START = GENERATOR.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    GENERATOR.bit_generator.state = _START


def _random(*shape: int) -> NDArray[np.float32]:
    return GENERATOR.normal(size=shape).astype(np.float32)


def _model(nodes: list[onnx.NodeProto], arrays: Arrays, *, rank: int = 4) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _node(operator: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], name=f"{operator}:{output}", **attributes)


def _norm(name: str, channels: int) -> Arrays:
    return {
        f"{name}.scale": _random(channels),
        f"{name}.bias": _random(channels),
        f"{name}.mean": _random(channels),
        f"{name}.var": np.abs(_random(channels)) + 1,
    }


def fire() -> ModelProto:
    """Squeeze, two expansions side by side, a dense layer behind a pooling: SqueezeNet's module."""
    nodes = [
        _node("Conv", "x s.w s.b", "s", kernel_shape=[1, 1]),
        _node("BatchNormalization", "s n.scale n.bias n.mean n.var", "n"),
        _node("Relu", "n", "r"),
        _node("Conv", "r a.w a.b", "a", kernel_shape=[1, 1]),
        _node("Conv", "r b.w b.b", "b", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        _node("Relu", "a", "ar"),
        _node("Relu", "b", "br"),
        _node("Concat", "ar br", "c", axis=1),
        _node("MaxPool", "c", "m", kernel_shape=[2, 2], strides=[2, 2]),
        _node("Flatten", "m", "f"),
        _node("Gemm", "f d.w d.b", "y", transB=1),
    ]
    arrays = {
        "s.w": _random(4, 2, 1, 1),
        "s.b": _random(4),
        **_norm("n", 4),
        "a.w": _random(5, 4, 1, 1),
        "a.b": _random(5),
        "b.w": _random(3, 4, 3, 3),
        "b.b": _random(3),
        "d.w": _random(10, 8 * 9),
        "d.b": _random(10),
    }
    return _model(nodes, arrays, rank=2)


def residual() -> ModelProto:
    """A sum of two ways whose channels are one, a depthwise convolution, an activation that makes something of zeros."""
    nodes = [
        _node("Conv", "x s.w", "s", kernel_shape=[1, 1]),
        _node("Relu", "s", "r"),
        _node("Conv", "r e.w e.b", "e", kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=6),
        _node("Clip", "e zero six", "k"),
        _node("Conv", "k p.w p.b", "p", kernel_shape=[1, 1]),
        _node("Add", "p r", "t"),
        _node("Mul", "t gain", "g"),
        _node("GlobalAveragePool", "g", "v"),
        _node("Conv", "v d.w", "y", kernel_shape=[1, 1]),
    ]
    arrays = {
        "s.w": _random(6, 2, 1, 1),
        "e.w": _random(6, 1, 3, 3),
        "e.b": _random(6),
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
        "p.w": _random(6, 6, 1, 1),
        "p.b": _random(6),
        "gain": _random(6, 1, 1),
        "d.w": _random(3, 6, 1, 1),
    }
    return _model(nodes, arrays)


def _change(model: ModelProto, name: str, change: Callable[[NDArray[np.float32]], None]) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    array = numpy_helper.to_array(tensor).copy()
    change(array)
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def _run(model: ModelProto) -> NDArray[np.float32]:
    onnx.checker.check_model(model, full_check=True)
    images = np.random.default_rng(3).normal(size=(4, 2, 6, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": images})[0])


def _dims(model: ModelProto) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}


def _zeroed(name: str, places: list[int], axis: int = 0) -> Callable[[ModelProto], None]:
    def change(array: NDArray[np.float32]) -> None:
        np.moveaxis(array, axis, 0)[places] = 0

    return lambda model: _change(model, name, change)


def test_fire_module_without_dead_channels_answers_as_before() -> None:
    model = fire()
    # Two squeezed channels are read with zeros, one expanded channel is never anything but zero.
    for change in (_zeroed("a.w", [1, 2], 1), _zeroed("b.w", [1, 2], 1), _zeroed("b.w", [0]), _zeroed("b.b", [0])):
        change(model)
    before = _run(model)
    smaller, count = without_dead(model)
    assert count == 3
    dims = _dims(smaller)
    assert (dims["s.w"], dims["n.var"], dims["a.w"], dims["b.w"]) == ([2, 2, 1, 1], [2], [5, 2, 1, 1], [2, 2, 3, 3])
    assert dims["d.w"] == [10, 7 * 9]
    assert np.allclose(_run(smaller), before, atol=1e-5)


def test_channel_read_only_by_a_channel_that_died_dies_too() -> None:
    model = fire()
    _zeroed("a.w", [0, 1, 2, 3], 1)(model)
    _zeroed("b.w", [0], 1)(model)
    before = _run(model)
    smaller, count = without_dead(model)
    assert count == 1
    assert _dims(smaller)["s.w"] == [3, 2, 1, 1]
    assert np.allclose(_run(smaller), before, atol=1e-5)


def test_normalised_channel_of_zeros_stays_because_its_normalisation_moves_it() -> None:
    model = fire()
    _zeroed("s.w", [0])(model)
    _zeroed("s.b", [0])(model)
    assert without_dead(model)[1] == 0


def test_residual_channels_die_together_or_not_at_all() -> None:
    model = residual()
    _zeroed("s.w", [2])(model)
    assert without_dead(model)[1] == 0
    for name in ("e.w", "e.b", "p.w", "p.b"):
        _zeroed(name, [2])(model)
    _zeroed("gain", [2])(model)
    before = _run(model)
    smaller, count = without_dead(model)
    assert count == 1
    assert _dims(smaller)["e.w"] == [5, 1, 3, 3]
    assert next(own.i for own in smaller.graph.node[2].attribute if own.name == "group") == 5
    assert np.allclose(_run(smaller), before, atol=1e-5)


@pytest.mark.parametrize(("low", "expected"), [(0.0, 1), (0.5, 0)])
def test_channel_of_zeros_dies_behind_a_clip_only_where_it_leaves_zeros(low: float, expected: int) -> None:
    model = residual()
    for name in ("s.w", "e.w", "e.b", "p.w", "p.b", "gain"):
        _zeroed(name, [2])(model)
    _change(model, "zero", lambda array: array.fill(low))
    # Read with something, or nobody would ask what it is.
    assert without_dead(model)[1] == expected


def test_number_added_to_every_channel_keeps_channels_of_zeros() -> None:
    nodes = [
        _node("Conv", "x s.w", "s", kernel_shape=[1, 1]),
        _node("Add", "s half", "t"),
        _node("Conv", "t d.w", "y", kernel_shape=[1, 1]),
    ]
    weights = _random(3, 2, 1, 1)
    weights[0] = 0
    half = np.full(1, 0.5, np.float32)
    model = _model(nodes, {"s.w": weights, "half": half, "d.w": _random(2, 3, 1, 1)})
    assert without_dead(model)[1] == 0


@pytest.mark.parametrize("make", [fire, residual])
def test_removing_half_of_all_channels_leaves_a_net_that_runs(make: Callable[[], ModelProto]) -> None:
    model = make()
    binding = bind(model)
    taken = least(binding, by_magnitude(model, binding), len(binding.removable) // 2)
    assert taken
    smaller = without(model, binding, taken)
    assert _run(smaller).shape == _run(model).shape
    assert macs_of(smaller) < macs_of(model)
    assert [node.name for node in smaller.graph.node] == [node.name for node in model.graph.node]


def test_operator_that_mixes_channels_fixes_them() -> None:
    nodes = [
        _node("Conv", "x s.w", "s", kernel_shape=[1, 1]),
        _node("LRN", "s", "l", size=3),
        _node("Conv", "l d.w", "e", kernel_shape=[1, 1]),
        _node("Conv", "e g.w", "y", kernel_shape=[1, 1], group=2),
    ]
    weights = {"s.w": _random(4, 2, 1, 1), "d.w": _random(4, 4, 1, 1), "g.w": _random(4, 2, 1, 1)}
    assert bind(_model(nodes, weights)).removable == ()


def test_weights_used_twice_have_the_same_channels_twice() -> None:
    nodes = [
        _node("Conv", "x s.w", "s", kernel_shape=[1, 1]),
        _node("Conv", "s t.w", "t", kernel_shape=[1, 1]),
        _node("Conv", "t t.w", "u", kernel_shape=[1, 1]),
        _node("Conv", "u d.w", "y", kernel_shape=[1, 1]),
    ]
    weights = {"s.w": _random(4, 2, 1, 1), "t.w": _random(4, 4, 1, 1), "d.w": _random(3, 4, 1, 1)}
    model = _model(nodes, weights)
    binding = bind(model)
    assert len(binding.removable) == 4
    assert _dims(without(model, binding, binding.removable[:1]))["t.w"] == [3, 3, 1, 1]
    assert _run(without(model, binding, binding.removable[:1])).shape == (4, 3, 6, 6)


def test_layer_without_channels_is_refused_by_name() -> None:
    model = fire()
    binding = bind(model)
    squeeze = binding.layers[0]
    with pytest.raises(ModelUnusable, match=r"Conv:s: no channel of 4 would be left"):
        without(model, binding, squeeze.ids)
    with pytest.raises(ValueError, match="must stay"):
        without(model, binding, binding.layers[-1].ids[:1])


def test_least_keeps_a_multiple_in_every_layer_and_never_none() -> None:
    model = fire()
    binding = bind(model)
    importance = {channel: float(place) for place, channel in enumerate(binding.removable)}
    everything = least(binding, importance, len(binding.removable), multiple_of=2)
    sizes = _dims(without(model, binding, everything))
    assert [sizes[name][0] for name in ("s.w", "a.w", "b.w")] == [2, 2, 2]
    # Of those that would go, the more important are spared.
    assert everything >= set(binding.layers[0].ids[:2])


def test_budget_is_kept_by_removing_as_few_as_needed() -> None:
    model = fire()
    binding = bind(model)
    importance = by_magnitude(model, binding)
    most = macs_of(model) // 2
    smaller = within_macs(model, binding, importance, most)
    assert macs_of(smaller) <= most
    count = sum(before[0] - after[0] for before, after in zip(*_sizes(model, smaller), strict=True))
    assert macs_of(without(model, binding, least(binding, importance, count - 1))) > most


def _sizes(*models: ModelProto) -> list[list[list[int]]]:
    return [[_dims(model)[name] for name in ("s.w", "a.w", "b.w")] for model in models]


def test_budget_below_the_smallest_net_is_refused() -> None:
    model = fire()
    binding = bind(model)
    with pytest.raises(ModelUnusable, match=r"10 multiply-accumulates leave a layer empty: .* Gemm:y"):
        within_macs(model, binding, by_magnitude(model, binding), 10)


def test_importances_rank_a_zeroed_channel_last() -> None:
    model = fire()
    _zeroed("a.w", [3])(model)
    _zeroed("a.b", [3])(model)
    binding = bind(model)
    channel = binding.layers[1].ids[3]
    magnitude = by_magnitude(model, binding)
    assert min(magnitude, key=magnitude.__getitem__) == channel
    weights = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in model.graph.initializer}
    taylor = by_taylor([weights, weights], binding)
    assert taylor[channel] == 0.0
    assert min(value for key, value in taylor.items() if key != channel) > 0.0


def test_importance_by_scale_is_that_of_the_normalisation_and_needs_one() -> None:
    model = fire()
    with pytest.raises(ModelUnusable, match=r"Conv:a: no batch normalisation follows"):
        by_scale(model, bind(model))
    arrays = {"s.w": _random(4, 2, 1, 1), **_norm("n", 4), "d.w": _random(2, 4, 1, 1)}
    nodes = [
        _node("Conv", "x s.w", "s", kernel_shape=[1, 1]),
        _node("BatchNormalization", "s n.scale n.bias n.mean n.var", "n"),
        _node("Conv", "n d.w", "y", kernel_shape=[1, 1]),
    ]
    normalised = _model(nodes, arrays)
    binding = bind(normalised)
    found = by_scale(normalised, binding)
    assert [found[channel] for channel in binding.removable] == pytest.approx(np.abs(arrays["n.scale"]).tolist())
