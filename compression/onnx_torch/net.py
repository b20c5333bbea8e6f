"""An ONNX graph as a torch module: run, trained and written back."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no stubs
from onnx import ModelProto, NodeProto, TensorProto
from torch import Tensor, nn

from compression.errors import DataUnusable, ModelUnusable
from compression.onnx_torch.dtypes import FLOATS, held_dtype, stored_array, to_torch, type_name
from compression.onnx_torch.layers import find_layers
from compression.onnx_torch.node import Call, Node
from compression.onnx_torch.operators import OPERATORS

# Inputs that say how a node works: constants there are no weights and are not trained unless somebody asks for it.
_SETTINGS = {
    "Clip": (1, 2),
    "DequantizeLinear": (1,),
    "Dropout": (1,),
    "GRU": (5,),
    "LSTM": (5, 6),
    "OneHot": (2,),
    "Pad": (2,),
    "Pow": (1,),
    "QLinearConv": (1, 4, 6),
    "QLinearMatMul": (1, 4, 6),
    "QuantizeLinear": (1,),
    "RNN": (5,),
    "Range": (0, 1, 2),
    "Resize": (1, 2),
    "Upsample": (1,),
}
_MOVES = {"Cast", "Concat", "Expand", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
_STATISTICS = (3, 4)
_OLDEST_OPSET = 7  # before, Add and its like had rules of their own for broadcasting


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the graph: `dtype` is an ONNX element type, `shape` has names where sizes are free, and is None where unknown."""

    name: str
    dtype: int
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True, slots=True)
class _Step:
    node: Node
    done: tuple[str, ...]
    """Values that no later step reads."""


def load_net(path: Path) -> "OnnxNet":
    """The net of an ONNX file, in eval mode.

    Raises:
        ModelUnusable: no valid ONNX file, weights outside the file, an operator that is not supported, or a weight that is not a number; the
            message names it.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ModelUnusable(f"{path}: {error.strerror}") from error
    except DecodeError as error:
        raise ModelUnusable(f"{path.name}: no ONNX file") from error
    try:
        return OnnxNet(model)
    except ModelUnusable as error:
        raise ModelUnusable(f"{path.name}: {error}") from error


class OnnxNet(nn.Module):
    """The graph of `model`, which is kept and not changed; see the package's text for what is a weight, a statistic and a setting.

    Attributes:
        inputs, outputs: the graph's ports, in order; inputs with an initializer of the same name are weights and not listed.
        layers: the nodes with constant weights, in order.
    """

    def __init__(self, model: ModelProto) -> None:
        super().__init__()
        _check(model)
        self._model = model
        graph = model.graph
        self._types = dict(_stated_types(model))
        nodes = [Node.read(proto, {o.domain: o.version for o in model.opset_import}) for proto in graph.node]
        self._copies = _copies(model)
        _refuse_unsupported(nodes)
        self.inputs = tuple(_port(v) for v in graph.input if v.name not in {t.name for t in graph.initializer})
        self.outputs = tuple(_port(v) for v in graph.output)
        computed = [
            node for node in nodes if (node.domain, node.op) != ("", "Constant") and node.outputs[0] not in self._copies
        ]
        self._statistic_names = _statistic_names(computed, {t.name for t in graph.initializer} | set(self._copies))
        self._untrainable = [node for node in computed if _keeps_no_statistics(node, self._statistic_names)]
        self._parameter_slots: dict[str, str] = {}
        self._statistic_slots: dict[str, str] = {}
        self._constant_slots: dict[str, str] = {}
        settings = _settings(computed)
        tensors = dict(_constant_tensors(model))
        tensors.update({copied: tensors[source] for copied, source in self._copies.items()})
        for place, (name, tensor) in enumerate(tensors.items()):
            self._hold(place, name, tensor, settings)
        for node in nodes:
            if node.op == "Constant" and node.outputs[0] not in self._parameter_slots | self._constant_slots:
                self._hold_value(node)
        self._plan = _plan(computed, {port.name for port in self.outputs})
        self.layers = find_layers(nodes, {name: tuple(w.shape) for name, w in self.weights.items()})
        self.eval()

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """Float initializers and Constants by ONNX name, statistics left out; a new dict each time, of the net's own parameters."""
        return {name: self.get_parameter(slot) for name, slot in self._parameter_slots.items()}

    @property
    def statistics(self) -> dict[str, Tensor]:
        """Running means and variances by ONNX name; a new dict each time, of the net's own tensors."""
        return {name: self.get_buffer(slot) for name, slot in self._statistic_slots.items()}

    def train(self, mode: bool = True) -> "OnnxNet":  # noqa: FBT001, FBT002 - torch's own signature
        """As in torch.

        Raises:
            ModelUnusable: a BatchNormalization keeps its running statistics where they cannot be moved: they are computed, or are a weight too.
        """
        if mode and self._untrainable:
            raise self._untrainable[0].unusable(
                "its running statistics are no constants of their own, so it cannot be trained"
            )
        super().train(mode)
        return self

    def forward(
        self,
        feeds: Mapping[str, Tensor],
        *,
        instead: Mapping[str, Tensor] | None = None,
        also: Collection[str] = (),
    ) -> dict[str, Tensor]:
        """The outputs by name.

        Args:
            feeds: a tensor per input; half precision may come as float32.
            instead: tensors that take the place of weights or statistics of these names in this run alone, and get the gradients.
            also: names of further values of the graph to return beside the outputs.

        Raises:
            DataUnusable: an input is missing, or one is fed that the net does not have.
            ModelUnusable: a node cannot be computed on these shapes; the message names it. `also` or `instead` names nothing.
        """
        values: dict[str, Tensor | None] = {**self._held(instead or {}), **self._fed(feeds)}
        for step in self._plan:
            self._run(step.node, values, instead or {})
            for name in step.done:
                if name not in also:
                    del values[name]
        missing = [name for name in also if values.get(name) is None]
        if missing:
            raise ModelUnusable(f"the graph has no value {missing[0]}")
        return {port.name: self._shown(port, values) for port in self.outputs} | {
            name: value for name in also if (value := values[name]) is not None
        }

    def write(self, path: Path) -> None:
        """Write the model with today's weights and statistics. What was not changed keeps its bytes; so does all the rest of the file.

        Raises:
            ModelUnusable: a tensor has values that are not a number, or too large for its type; nothing is written.
        """
        model = ModelProto()
        model.CopyFrom(self._model)
        values = {**self.weights, **self.statistics}
        for name, tensor in _constant_tensors(model):
            if name in values:
                _store(tensor, values[name], name)
        _part_copies(model, self._copies, values)
        path.write_bytes(model.SerializeToString())

    def _hold(self, place: int, name: str, tensor: TensorProto, settings: Collection[str]) -> None:
        values = to_torch(tensor, f"tensor {name}")
        if tensor.data_type not in FLOATS:
            self._constant_slots[name] = slot = f"constant{place}"
            self.register_buffer(slot, values)
            return
        if torch.isnan(values).any():
            raise ModelUnusable(f"tensor {name} has values that are not a number")
        if name in self._statistic_names:
            self._statistic_slots[name] = slot = f"statistic{place}"
            self.register_buffer(slot, values)
            return
        self._parameter_slots[name] = slot = f"weight{place}"
        is_weight = values.ndim > 0 and name not in settings
        self.register_parameter(slot, nn.Parameter(values, requires_grad=is_weight))

    def _hold_value(self, node: Node) -> None:
        """A Constant that is written as numbers and not as a tensor."""
        ((kind, value),) = node.attributes.items()
        if kind not in ("value_float", "value_floats", "value_int", "value_ints"):
            raise node.unusable(f"{kind} is not supported")
        name = node.outputs[0]
        self._constant_slots[name] = slot = f"number{len(self._constant_slots)}"
        self.register_buffer(slot, torch.tensor(value, dtype=torch.float32 if "float" in kind else torch.int64))

    def _held(self, instead: Mapping[str, Tensor]) -> dict[str, Tensor]:
        held: dict[str, Tensor] = {**self.weights, **self.statistics}
        for name in instead:
            if name not in held:
                raise ModelUnusable(f"the graph has no weight {name}")
        constants = {name: self.get_buffer(slot) for name, slot in self._constant_slots.items()}
        return {**constants, **held, **instead}

    def _fed(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = [port.name for port in self.inputs]
        if set(feeds) != set(names):
            raise DataUnusable(f"the model's inputs are {', '.join(names)}; fed are {', '.join(feeds) or 'none'}")
        return {port.name: _as_held(port, feeds[port.name]) for port in self.inputs}

    def _run(self, node: Node, values: dict[str, Tensor | None], replaced: Collection[str]) -> None:
        call = Call(
            node=node,
            values=tuple(values[name] if name else None for name in node.inputs),
            training=self.training,
            statistics=self._statistic_names.difference(replaced),
            types=self._types,
        )
        try:
            out = OPERATORS[node.domain, node.op](call)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            shapes = ", ".join(f"{list(v.shape)}" for v in call.present())
            raise node.unusable(f"cannot be computed on inputs of shape {shapes}: {error}") from error
        outputs = (out,) if isinstance(out, Tensor) else out
        values.update({name: value for name, value in zip(node.outputs, outputs, strict=False) if name})

    def _shown(self, port: Port, values: Mapping[str, Tensor | None]) -> Tensor:
        value = values[port.name]
        if value is None:
            raise ModelUnusable(f"output {port.name} is not computed")
        if port.dtype in FLOATS:
            return value
        return value.to(held_dtype(port.dtype, f"output {port.name}"))


def _check(model: ModelProto) -> None:
    for name, tensor in _constant_tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ModelUnusable(f"tensor {name} is kept outside the ONNX file; save the model as one file")
    if model.functions:
        raise ModelUnusable(f"function {model.functions[0].name} is the model's own; inline it (onnx.inliner)")
    if model.graph.sparse_initializer:
        raise ModelUnusable(f"tensor {model.graph.sparse_initializer[0].values.name} is stored sparse; store it dense")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelUnusable(f"no valid ONNX: {str(error).strip().splitlines()[0]}") from error
    own = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), _OLDEST_OPSET)
    if own < _OLDEST_OPSET:
        raise ModelUnusable(f"operator set {own} is older than {_OLDEST_OPSET}; convert it (onnx.version_converter)")


def _refuse_unsupported(nodes: Collection[Node]) -> None:
    for node in nodes:
        if (node.domain, node.op) in (("", "If"), ("", "Loop"), ("", "Scan")):
            raise node.unusable("control flow is not supported; export the branch that is used")
        if (node.domain, node.op) not in OPERATORS and (node.domain, node.op) != ("", "Constant"):
            raise node.unusable("this operator is not supported")


def _constant_tensors(model: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    for tensor in model.graph.initializer:
        yield tensor.name, tensor
    for node in model.graph.node:
        tensor_of = _constant_tensor(node)
        if tensor_of is not None:
            yield node.output[0], tensor_of


def _constant_tensor(node: NodeProto) -> TensorProto | None:
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    return next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)


def _stated_types(model: ModelProto) -> Iterator[tuple[str, int]]:
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        yield value.name, value.type.tensor_type.elem_type
    for name, tensor in _constant_tensors(model):
        yield name, tensor.data_type


def _copies(model: ModelProto) -> dict[str, str]:
    """Outputs of Identity nodes on float initializers, and these.

    Torch's exporter stores tensors of equal values once, so that in a net that was not trained yet all of its normalisations seem to share
    their weights. Each copy is a weight or statistic of its own here.
    """
    floats = {tensor.name for tensor in model.graph.initializer if tensor.data_type in FLOATS}
    outputs = {value.name for value in model.graph.output}
    found: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type == "Identity" and node.domain in ("", "ai.onnx") and node.output[0] not in outputs:
            source = found.get(node.input[0], node.input[0])
            if source in floats:
                found[node.output[0]] = source
    return found


def _part_copies(model: ModelProto, copies: Mapping[str, str], values: Mapping[str, Tensor]) -> None:
    """Turn those copies into initializers whose values are no longer those of what they copy."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    changed: dict[str, TensorProto] = {}
    for name, source in copies.items():
        tensor = TensorProto()
        tensor.CopyFrom(tensors[source])
        _store(tensor, values[name], name)
        if tensor != tensors[source]:
            tensor.name = name
            changed[name] = tensor
    for place in reversed(range(len(model.graph.node))):
        if model.graph.node[place].output[0] in changed and model.graph.node[place].op_type == "Identity":
            del model.graph.node[place]
    model.graph.initializer.extend(changed.values())


def _statistic_names(nodes: Collection[Node], constants: Collection[str]) -> frozenset[str]:
    """Constants that are read as running statistics and as nothing else."""
    statistics: set[str] = set()
    used: set[str] = set()
    for node in nodes:
        normalises = (node.domain, node.op) == ("", "BatchNormalization")
        for place, name in enumerate(node.inputs):
            (statistics if normalises and place in _STATISTICS else used).add(name)
    return frozenset((statistics - used) & set(constants))


def _keeps_no_statistics(node: Node, statistics: Collection[str]) -> bool:
    return (
        (node.domain, node.op) == ("", "BatchNormalization")
        and not node.attributes.get("training_mode")
        and any(node.inputs[place] not in statistics for place in _STATISTICS)
    )


def _settings(nodes: Sequence[Node]) -> set[str]:
    """Names that are only ever read where a node's settings stand, if need be after they were cut or joined."""
    chosen: set[str] = set()
    used: set[str] = set()
    for node in reversed(nodes):  # whoever reads a name comes after it
        moved = node.op in _MOVES and chosen.issuperset(node.outputs) and used.isdisjoint(node.outputs)
        for place, name in enumerate(node.inputs):
            (chosen if moved or place in _SETTINGS.get(node.op, ()) else used).add(name)
    return chosen - used


def _plan(nodes: list[Node], kept: Collection[str]) -> tuple[_Step, ...]:
    last: dict[str, int] = {}
    made = {name for node in nodes for name in node.outputs if name}
    for place, node in enumerate(nodes):
        last.update(dict.fromkeys((name for name in (*node.inputs, *node.outputs) if name), place))
    done: dict[int, list[str]] = {}
    for name, place in last.items():
        if name in made and name not in kept:
            done.setdefault(place, []).append(name)
    return tuple(_Step(node, tuple(done.get(place, ()))) for place, node in enumerate(nodes))


def _as_held(port: Port, values: Tensor) -> Tensor:
    dtype = held_dtype(port.dtype, f"input {port.name}")
    if values.is_floating_point() != dtype.is_floating_point:
        raise DataUnusable(f"input {port.name} takes {type_name(port.dtype)}, fed is {values.dtype}")
    return values.to(dtype)


def _port(value: onnx.ValueInfoProto) -> Port:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise ModelUnusable(f"{value.name} is no tensor")
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param for d in kind.shape.dim)
    return Port(value.name, kind.elem_type, shape if kind.HasField("shape") else None)


def _store(tensor: TensorProto, values: Tensor, name: str) -> None:
    """Put `values` into `tensor` in the way its values are stored now, unless they are what it holds."""
    array = stored_array(values, tensor.data_type, f"tensor {name}")
    before = onnx.numpy_helper.to_array(tensor)
    if tuple(array.shape) != tuple(tensor.dims):
        raise ModelUnusable(f"tensor {name} has shape {list(tensor.dims)} in the graph and {list(array.shape)} now")
    if array.tobytes() == before.tobytes():
        return
    if tensor.HasField("raw_data"):
        tensor.raw_data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    elif tensor.data_type == TensorProto.DOUBLE:
        tensor.double_data[:] = array.reshape(-1).tolist()
    elif tensor.data_type == TensorProto.FLOAT:
        tensor.float_data[:] = array.reshape(-1).tolist()
    else:
        tensor.int32_data[:] = array.reshape(-1).view("uint16").tolist()
