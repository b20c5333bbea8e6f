"""Steps that quantise. See `compression.quantisation` for what each does to the file."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compression.errors import RecipeInvalid
from compression.steps.keys import choice, flag, listed, number, whole
from compression.steps.step import Workbench


@dataclass(frozen=True, slots=True)
class StaticInt8:
    """int8 weights and uint8 activations on grids found by calibration, as QDQ pairs."""

    calibration_samples: int = whole(512, 1, 100_000, "training samples that the activations' ranges are found on")
    method: str = choice(
        "minmax", ("minmax", "percentile", "entropy"), "how the range of an activation is found on the samples"
    )
    percentile: float = number(99.99, 50, 100, 'share of values within the range, in percent; of "percentile" only')
    per_channel: bool = flag("one scale for each output channel of a weight, not one for all", default=True)
    exclude: tuple[str, ...] = listed((), "nodes that stay in float32, by name")

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Quantise."""
        from compression.quantisation import quantise_static

        calibration = bench.training.first(self.calibration_samples)
        quantise_static(
            source,
            target,
            calibration,
            method=self.method,
            percentile=self.percentile,
            per_channel=self.per_channel,
            exclude=self.exclude,
        )
        return {"calibration_samples": len(calibration)}


@dataclass(frozen=True, slots=True)
class DynamicInt8:
    """int8 weights; activations are quantised while the net runs, so nothing is calibrated."""

    per_channel: bool = flag("one scale for each output channel of a weight, not one for all", default=True)

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Quantise."""
        from compression.quantisation import quantise_dynamic

        quantise_dynamic(source, target, per_channel=self.per_channel)
        return {}


@dataclass(frozen=True, slots=True)
class Fp16:
    """Weights stored in half precision, computed in float32; inputs and outputs stay float32."""

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Round."""
        from compression.quantisation import to_half

        return {"weights": to_half(source, target)}


@dataclass(frozen=True, slots=True)
class Int4:
    """Weights of Conv, MatMul and Gemm stored in four bits, computed in float32."""

    block: int = whole(32, 16, 1024, "inputs that share a scale, in MatMul and Gemm")
    smallest: int = whole(64, 1, None, "weights of fewer numbers stay in float32")

    def __post_init__(self) -> None:
        if self.block & (self.block - 1):
            raise RecipeInvalid(f"block: expected a power of two, got {self.block}")

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Quantise."""
        from compression.quantisation import to_int4

        return {
            "layers": [
                dataclasses.asdict(layer) for layer in to_int4(source, target, block=self.block, smallest=self.smallest)
            ]
        }
