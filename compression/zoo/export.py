"""From a net of the zoo to one ONNX file, with batch normalisation left as it is so that the file can be trained on.

The weights go to the exporter as inputs of the graph and into the file afterwards, one tensor at a time. So torch's exporter
neither folds nor copies them (it makes four copies, and two passes of shape inference over the payload), and does not merge
the equal tensors that a fresh net is full of. Peak memory is one set of weights; none with `cheap_weights`.
"""

import copy
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[import-untyped]  # protobuf ships no stubs
from onnx import GraphProto, ModelProto, TensorProto
from torch import Tensor, nn

from compression.onnx_export import OPSET, compare_with_torch
from compression.zoo.entry import Dtype, NetShape, ZooEntry

INPUT = "image"
_TORCH_DTYPES: Mapping[Dtype, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}
_ONNX_DTYPES = {torch.float32: TensorProto.FLOAT, torch.float16: TensorProto.FLOAT16}
# Field numbers and wire type 2 of `ModelProto.graph`, `GraphProto.initializer` and `TensorProto.raw_data` (onnx.proto3).
_GRAPH, _INITIALIZER, _RAW_DATA = b"\x3a", b"\x2a", b"\x4a"
# Filters of one tensor go out in pieces, so that a broadcast tensor is never laid out whole.
_PIECE = 256


def export_entry(entry: ZooEntry, path: Path, *, shape: NetShape | None = None, seed: int = 0) -> float:
    """Build the net with weights from `seed`, write it, check the file and run it beside torch on a random image.

    Returns:
        The largest difference between ONNX Runtime and torch, as a share of the largest output.

    Raises:
        ExportMismatch: they differ by more than float sums in another order explain.
        ValueError: the input is too small for the net.
    """
    shape = shape or entry.shape
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = entry.build(shape).to(_TORCH_DTYPES[entry.dtype]).eval()
        initialise(net)
        example = torch.rand(2, shape.channels, shape.height, shape.width).to(_TORCH_DTYPES[entry.dtype])
    try:
        write_net(net, weights_of(net), path, shape=shape, outputs=entry.outputs)
    except RuntimeError as error:
        raise ValueError(f"an input of {shape.height} x {shape.width} does not go through this net: {error}") from error
    onnx.checker.check_model(path, full_check=True)
    return compare_with_torch(net, path, example, near_ties=entry.near_ties)


def initialise(net: nn.Module) -> None:
    """Draw the weights of convolutions and dense layers by He's rule for their fan-in (arXiv:1502.01852, section 2.2).

    torch's own rule shrinks signals from layer to layer until answers hardly depend on the image; biases keep that rule.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def write_for_counting(entry: ZooEntry, path: Path, *, shape: NetShape | None = None) -> None:
    """Write the net with weights that are all zero: for what a file weighs and costs, not for what it answers."""
    shape = shape or entry.shape
    with torch.device("meta"):
        net = entry.build(shape).to(_TORCH_DTYPES[entry.dtype]).eval()
    write_net(net, cheap_weights(net), path, shape=shape, outputs=entry.outputs)


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """The floating-point parameters and buffers of a net by name: what inference needs."""
    return {name: tensor.detach() for name, tensor in _tensors(net).items() if tensor.is_floating_point()}


def cheap_weights(net: nn.Module) -> dict[str, Tensor]:
    """As many zeros of the same shapes, of which each tensor keeps one in memory; `net` may be on the meta device."""
    return {name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for name, tensor in weights_of(net).items()}


def write_net(
    net: nn.Module, weights: Mapping[str, Tensor], path: Path, *, shape: NetShape, outputs: tuple[str, ...]
) -> None:
    """Write `net` (in eval mode) with `weights` as its initializers; the first dimension is free and named `N`."""
    model = _graph_of(net, weights, shape, outputs)
    used = {name for node in model.graph.node for name in node.input}
    kept = {name: tensor for name, tensor in weights.items() if name in used}
    inputs = [value for value in model.graph.input if value.name == INPUT]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    with path.open("wb") as file:
        for piece in _serialised(model, kept):
            file.write(piece)


def _tensors(net: nn.Module) -> dict[str, Tensor]:
    return {**dict(net.named_parameters()), **dict(net.named_buffers())}


class _Functional(nn.Module):
    """A copy of the net's structure that takes its weights as arguments; `torch.func` refuses to be traced."""

    def __init__(self, net: nn.Module, names: Iterable[str]) -> None:
        super().__init__()
        shadow = copy.deepcopy(net, {id(tensor): None for tensor in _tensors(net).values()})
        # In a tuple, so that torch does not see a sub-module with parameters.
        self.net, self.places = (shadow,), tuple(name.rpartition(".")[::2] for name in names)
        for owner, attribute in self.places:
            delattr(shadow.get_submodule(owner), attribute)

    def forward(self, x: Tensor, *weights: Tensor) -> object:
        """What the net answers with these weights."""
        for (owner, attribute), weight in zip(self.places, weights, strict=True):
            setattr(self.net[0].get_submodule(owner), attribute, weight)
        return self.net[0](x)


def _graph_of(net: nn.Module, weights: Mapping[str, Tensor], shape: NetShape, outputs: tuple[str, ...]) -> ModelProto:
    dtype = next(iter(weights.values())).dtype
    example = torch.zeros(1, shape.channels, shape.height, shape.width, dtype=dtype)
    written = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The TorchScript exporter says it is not the newest; it needs no further package and keeps parameter names.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Height and width are meant to be written down; that the batch is not, shows when two images are compared with torch.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # documented there
        # It says what it does not fold; folding only makes a graph shorter.
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        # Statistics of the image itself, as instance normalisation without running ones has them in evaluation too.
        warnings.filterwarnings("ignore", "(?s).*'instance_norm' is set to train=True", UserWarning)
        torch.onnx.export(
            _Functional(net, weights),
            (example, *weights.values()),
            written,  # type: ignore[arg-type]  # a file object, as the documentation of `f` says
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT, *weights],
            output_names=list(outputs),
            dynamic_axes={name: {0: "N"} for name in (INPUT, *outputs)},
        )
    model = ModelProto()
    model.ParseFromString(written.getvalue())
    return model


def _serialised(model: ModelProto, weights: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """The bytes of the model with `weights` as initializers, in the order of protobuf's own serialisation."""
    before, after = GraphProto(), GraphProto()
    before.CopyFrom(model.graph)
    after.CopyFrom(model.graph)
    # Initializers are field 5 of a graph: nodes (1) and name (2) stand before them.
    for field in ("doc_string", "input", "output", "value_info", "initializer"):
        before.ClearField(field)
    for field in ("node", "name", "initializer"):
        after.ClearField(field)
    head = ModelProto()
    head.CopyFrom(model)
    tail = ModelProto(opset_import=model.opset_import)
    for field in ("graph", "opset_import"):
        head.ClearField(field)
    constants = [_tagged(_INITIALIZER, tensor.SerializeToString()) for tensor in model.graph.initializer]
    headers = {name: _header(name, tensor) for name, tensor in weights.items()}
    size = before.ByteSize() + after.ByteSize() + sum(map(len, constants))
    size += sum(len(headers[name]) + _size_bytes(tensor) for name, tensor in weights.items())
    yield head.SerializeToString() + _GRAPH + _VarintBytes(size) + before.SerializeToString()
    yield from constants
    for name, tensor in weights.items():
        yield headers[name]
        yield from _pieces(tensor)
    yield after.SerializeToString() + tail.SerializeToString()


def _header(name: str, tensor: Tensor) -> bytes:
    """Everything of an initializer but its payload."""
    described = TensorProto(dims=list(tensor.shape), data_type=_ONNX_DTYPES[tensor.dtype], name=name)
    start: bytes = described.SerializeToString() + _RAW_DATA + _VarintBytes(_size_bytes(tensor))
    return _INITIALIZER + bytes(_VarintBytes(len(start) + _size_bytes(tensor))) + start


def _tagged(tag: bytes, content: bytes) -> bytes:
    return tag + bytes(_VarintBytes(len(content))) + content


def _pieces(tensor: Tensor) -> Iterator[memoryview]:
    array = tensor.numpy()
    if array.ndim == 0:
        yield np.ascontiguousarray(array).data
    for start in range(0, array.shape[0] if array.ndim else 0, _PIECE):
        yield np.ascontiguousarray(array[start : start + _PIECE]).data


def _size_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
