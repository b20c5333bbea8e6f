"""What a move buys, counted from the files that both nets are written to."""

import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from benchmarks.static_cost import count_static_cost
from compression.onnx_export import export_onnx
from compression.rate import packed_bytes

INPUT, OUTPUT = "image", "output"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one net costs, by its ONNX file.

    Attributes:
        param_count: stored elements, those of shapes and other constants included.
        size_bytes: of the file.
        packed_bytes: of the file as the codec sends it to a device that holds nothing; None where it was not asked for.
        macs: multiply-accumulates for one image.
        peak_activation_bytes: by liveness; None where a shape is not known.
    """

    param_count: int
    size_bytes: int
    packed_bytes: int | None
    macs: int
    peak_activation_bytes: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A net before and after a move."""

    before: Cost
    after: Cost


def cost_of(net: nn.Module, shape: tuple[int, ...], *, packed: bool = False) -> Cost:
    """Write `net` as it computes in eval mode to a file and count it, for one float32 image of `shape` (C, H, W).

    Raises:
        ExportMismatch: the file computes something else.
    """
    example = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        export_onnx(copy.deepcopy(net).eval(), path, example=example, input_name=INPUT, output_name=OUTPUT)
        return cost_of_file(path, packed=packed)


def cost_of_file(path: Path, *, packed: bool = False) -> Cost:
    """Count an ONNX file."""
    cost = count_static_cost(path)
    return Cost(
        param_count=cost.param_count,
        size_bytes=path.stat().st_size,
        packed_bytes=packed_bytes(path) if packed else None,
        macs=cost.macs_total,
        peak_activation_bytes=cost.peak_activation_bytes,
    )


def before_and_after(net: nn.Module, moved: nn.Module, shape: tuple[int, ...], *, packed: bool = False) -> Comparison:
    """What `net` and what a move made of it cost, from their files, for one float32 image of `shape` (C, H, W)."""
    return Comparison(cost_of(net, shape, packed=packed), cost_of(moved, shape, packed=packed))
