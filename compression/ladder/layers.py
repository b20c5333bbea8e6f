"""The layers of an ONNX graph that rungs are made of one after the other, and what goes into them: by ONNX Runtime alone, no torch.

A layer is a product of a constant matrix with inputs that can be looked at (Conv, Gemm, MatMul), or the gain and shift of a
BatchNormalization. Everything else that has weights is no layer: its tensors are chosen by their size alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from compression.datasets import Samples
from compression.errors import DataUnusable, ModelUnusable
from compression.ladder.task import float_tensors

Array = NDArray[Any]
Floats = NDArray[np.float64]

BATCH = 64
_KERNEL_AXES = 3


@dataclass(frozen=True, slots=True)
class Layer:
    """One node with constant weights. Names are of tensors: `weight` is the matrix, or gamma; `bias` what is added, or beta.

    Attributes:
        input_name, output_name: what goes in and comes out, activations.
        groups: in how many the rows fall, each reading columns of its own.
    """

    op: str
    weight: str
    bias: str | None
    input_name: str
    output_name: str
    attributes: Mapping[str, Any]
    groups: int = 1

    @property
    def is_affine(self) -> bool:
        """Whether each channel has a gain and a shift only."""
        return self.op == "BatchNormalization"

    def matrix(self, weight: Array) -> Array:
        """[outputs, inputs to each]: the weight with a row per output channel."""
        if self.op == "MatMul" or (self.op == "Gemm" and not self.attributes.get("transB", 0)):
            return weight.T
        return weight.reshape(weight.shape[0], -1)

    def tensor(self, matrix: Array, shape: Sequence[int]) -> Array:
        """The inverse of `matrix`."""
        if self.op == "MatMul" or (self.op == "Gemm" and not self.attributes.get("transB", 0)):
            return np.ascontiguousarray(matrix.T)
        return matrix.reshape(shape)

    def rows(self, activations: Array, weight_shape: Sequence[int]) -> Iterator[Array]:
        """For each group [positions, columns]: what the matrix is multiplied with, for every sample and place."""
        if self.op != "Conv":
            values = activations.T if self.attributes.get("transA", 0) else activations
            yield values.reshape(-1, values.shape[-1])
            return
        yield from self._patches(activations, weight_shape)

    def _patches(self, activations: Array, weight_shape: Sequence[int]) -> Iterator[Array]:
        kernel = tuple(weight_shape[2:])
        axes = len(kernel)
        strides = self.attributes.get("strides", [1] * axes)
        dilations = self.attributes.get("dilations", [1] * axes)
        pads = self.attributes.get("pads", [0] * 2 * axes)
        padded = np.pad(activations, [(0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)])
        reach = [(extent - 1) * dilation + 1 for extent, dilation in zip(kernel, dilations, strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + axes)))
        places = tuple(slice(None, None, stride) for stride in strides)
        taps = tuple(slice(None, None, dilation) for dilation in dilations)
        windows = windows[(slice(None), slice(None), *places, *taps)]
        # [N, C, places..., taps...] to [N, places..., C, taps...]
        windows = np.moveaxis(windows, 1, 1 + axes)
        columns = activations.shape[1] // self.groups
        for group in range(self.groups):
            own = windows[(slice(None),) * (1 + axes) + (slice(group * columns, (group + 1) * columns),)]
            yield own.reshape(-1, columns * prod(kernel))

    def outputs(self, activations: Array) -> Array:
        """[positions, channels] of what comes out."""
        if self.op in {"Conv", "BatchNormalization"} and activations.ndim > 2:
            return np.moveaxis(activations, 1, -1).reshape(-1, activations.shape[1])
        return activations.reshape(-1, activations.shape[-1])


def layers_of(model: onnx.ModelProto, weights: Mapping[str, Array]) -> list[Layer]:
    """The layers whose weights are among `weights`, in the order in which they are computed; a tensor belongs to one at most."""
    found: list[Layer] = []
    readers: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    for node in model.graph.node:
        layer = _layer(node, weights)
        if layer is not None and readers[layer.weight] == 1:
            found.append(layer)
    return found


def _layer(node: onnx.NodeProto, weights: Mapping[str, Array]) -> Layer | None:
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if len(node.input) < 2 or node.input[1] not in weights or node.input[0] in weights:
        return None
    weight = weights[node.input[1]]
    third = node.input[2] if len(node.input) > 2 and node.input[2] in weights else None
    groups = 1
    if node.op_type == "Conv":
        if (
            attributes.get("auto_pad", b"NOTSET") not in {b"NOTSET", b"VALID"}
            or not 2 < weight.ndim <= 2 + _KERNEL_AXES
        ):
            return None
        groups = int(attributes.get("group", 1))
    elif node.op_type == "Gemm":
        if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
            return None
        third = third if third is not None and weights[third].ndim == 1 else None
    elif node.op_type == "BatchNormalization":
        if third is None:
            return None
    elif node.op_type != "MatMul" or weight.ndim != 2:
        return None
    if node.op_type == "MatMul":
        third = None
    return Layer(node.op_type, node.input[1], third, node.input[0], node.output[0], attributes, groups)


def with_weights(model: onnx.ModelProto, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """A copy of the model with other values in the named float32 tensors."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    for name, tensor in float_tensors(found):
        if name in weights:
            tensor.ClearField("float_data")
            tensor.raw_data = weights[name].astype("<f4").tobytes()
    return found


class Walk:
    """A graph computed piece by piece from its inputs: what is known once is not computed again, whatever weights change behind it.

    Values are kept for all samples; `forget` those that nothing needs any more.
    """

    def __init__(self, model: onnx.ModelProto, samples: Samples) -> None:
        """Start from the samples.

        Raises:
            DataUnusable: they do not fit the graph's inputs.
        """
        constants = {tensor.name for tensor in model.graph.initializer}
        ports = [port for port in model.graph.input if port.name not in constants]
        if {port.name for port in ports} != set(samples.inputs):
            names = ", ".join(port.name for port in ports)
            raise DataUnusable(f"the model reads {names}, the samples have {', '.join(samples.inputs)}")
        first = ports[0].type.tensor_type.shape.dim[:1]
        self._batch = first[0].dim_value if first and first[0].dim_value else BATCH
        is_fixed = bool(first and first[0].dim_value)
        count = len(samples) - len(samples) % self._batch if is_fixed else len(samples)
        if not count:
            raise DataUnusable(f"the model takes {self._batch} samples at once, there are {len(samples)}")
        self._model = model
        self._constants = constants
        self._makers = {name: place for place, node in enumerate(model.graph.node) for name in node.output}
        self._known: dict[str, Array] = {name: values[:count] for name, values in samples.inputs.items()}
        self.count = count

    def values(self, names: Sequence[str], weights: Mapping[str, Array], *, keep: bool = True) -> list[Array]:
        """What stands at `names` for every sample, with other values in the weights named; kept for later unless they are a trial.

        Raises:
            ModelUnusable: the runtime refuses the graph.
            DataUnusable: the samples do not fit it.
        """
        missing = [name for name in dict.fromkeys(names) if name not in self._known]
        found = dict(zip(missing, self._computed(missing, weights), strict=True)) if missing else {}
        answers = [found.get(name, self._known.get(name)) for name in names]
        if keep:
            self._known |= found
        return [answer for answer in answers if answer is not None]

    def trial(self, name: str, weights: Mapping[str, Array]) -> Array:
        """What would stand at `name` with other values in the weights named, whether it is known or not; not kept.

        Raises:
            ModelUnusable, DataUnusable: as `values`.
        """
        known = self._known
        self._known = {one: values for one, values in known.items() if one != name}
        try:
            (found,) = self._computed([name], weights)
        finally:
            self._known = known
        return found

    def keep_for(self, names: Sequence[str]) -> None:
        """Let go of all that `names` can be computed without."""
        _, read = self._needed(names)
        self._known = {name: self._known[name] for name in read}

    def _computed(self, names: Sequence[str], weights: Mapping[str, Array]) -> list[Array]:
        places, read = self._needed(names)
        piece = onnx.ModelProto()
        piece.CopyFrom(self._model)
        del piece.graph.node[:], piece.graph.input[:], piece.graph.output[:], piece.graph.value_info[:]
        piece.graph.node.extend(self._model.graph.node[place] for place in sorted(places))
        used = {name for node in piece.graph.node for name in node.input}
        kept = [tensor for tensor in piece.graph.initializer if tensor.name in used]
        del piece.graph.initializer[:]
        piece.graph.initializer.extend(kept)
        for name in read:
            kind = onnx.helper.np_dtype_to_tensor_dtype(self._known[name].dtype)
            piece.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, None))
        piece.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        return self._run(with_weights(piece, weights), {name: self._known[name] for name in read}, names)

    def _needed(self, names: Sequence[str]) -> tuple[set[int], list[str]]:
        """The nodes between what is known and `names`, and the known values that they read."""
        places: set[int] = set()
        read: dict[str, None] = {}
        wanted = list(names)
        while wanted:
            name = wanted.pop()
            if name in self._known:
                read[name] = None
            elif name in self._makers and self._makers[name] not in places:
                places.add(self._makers[name])
                node = self._model.graph.node[self._makers[name]]
                wanted += [one for one in (*node.input, *_read_inside(node)) if one]
        return places, list(read)

    def _run(self, piece: onnx.ModelProto, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(
                piece.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelUnusable(f"ONNX Runtime refuses the graph: {error}") from error
        parts: list[list[Array]] = []
        for start in range(0, self.count, self._batch):
            try:
                parts.append(
                    session.run(list(names), {name: a[start : start + self._batch] for name, a in feeds.items()})
                )
            except Exception as error:
                raise DataUnusable(f"the samples do not fit the model: {error}") from error
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _read_inside(node: onnx.NodeProto) -> Iterator[str]:
    """What the subgraphs of a node read."""
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from inner.input
            yield from _read_inside(inner)
