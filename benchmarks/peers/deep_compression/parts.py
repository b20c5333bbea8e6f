"""What the parts of a packed file cost, and what its weights are worth by their order-0 entropy."""

import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from compression.deep.entropy import entropy_bits, palette_bits
from delta.encoder import encode
from delta.format import parse
from delta.limits import Limits
from delta.predictors.text import Text
from delta.streams import CODED

_LIMITS = Limits(output_bytes=1 << 40, wall_s=3600.0)
# Smaller ones are biases and single numbers; the packed file has them as text.
_MIN_WEIGHTS = 2


@dataclass(frozen=True, slots=True)
class Parts:
    """Bytes of a packed file.

    Attributes:
        header: the fixed header and the index of streams and spans.
        table: palettes, and classes of channels.
        text: graph, names and what else is no tensor.
        indices: coded streams: indices into palettes, and floats that are not shared.
        others: all other streams.
    """

    header: int
    table: int
    text: int
    indices: int
    others: int

    @property
    def total(self) -> int:
        """The size of the packed file."""
        return self.header + self.table + self.text + self.indices + self.others


def parts_of(model: Path) -> Parts:
    """Pack `model` and look at what was written."""
    with tempfile.TemporaryDirectory() as folder:
        patch = Path(folder) / "packed"
        encode(None, model, patch)
        fd = os.open(patch, os.O_RDONLY)
        try:
            container = parse(fd, _LIMITS)
        finally:
            os.close(fd)
    sizes: Counter[str] = Counter()
    has_text = any(span.predictor == Text.number for span in container.index.spans())
    names = (["table"] if container.header.table_bytes else []) + (["text"] if has_text else [])
    for place, stream in enumerate(container.index.streams):
        name = names[place] if place < len(names) else "indices" if stream.kind == CODED else "others"
        sizes[name] += stream.coded_bytes
    return Parts(container.streams_offset, sizes["table"], sizes["text"], sizes["indices"], sizes["others"])


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a model's layers, those with two axes or more: how many, and what they are worth at order 0.

    Attributes:
        index_bits: for each kept weight, the bits that say which are zero, by layer.
        value_bits: for each kept weight, the bits of its index into the layer's values where it has few, 32 where it has many.
        entropy_bytes: all tensors, biases too, as indices and palettes: what an ideal coder with one distribution for each would write.
    """

    count: int
    kept: int
    index_bits: float
    value_bits: float
    entropy_bytes: float


_FEW = 4096


def weights_of(model: Path) -> Weights:
    """Count them in the file."""
    count = kept = 0
    index_bits = value_bits = all_bits = 0.0
    for tensor in onnx.load(model).graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        array = numpy_helper.to_array(tensor).reshape(-1)
        is_shared = np.unique(array).size <= min(_FEW, array.size // 2)
        all_bits += palette_bits(array) if is_shared else 32.0 * array.size
        if len(tensor.dims) < _MIN_WEIGHTS:
            continue
        own = array[array != 0]
        count, kept = count + array.size, kept + own.size
        index_bits += entropy_bits((array != 0).astype(np.int64))
        value_bits += (
            entropy_bits(np.unique(own, return_inverse=True)[1]) if is_shared and own.size else 32.0 * own.size
        )
    return Weights(count, kept, index_bits / max(kept, 1), value_bits / max(kept, 1), all_bits / 8)
