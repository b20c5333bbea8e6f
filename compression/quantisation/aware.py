"""Quantisation-aware fine-tuning: the net is trained while its weights and activations are rounded as they will be. Needs torch.

The graph that is trained is the quantised file itself, opened up (`grids`): activations go through its `QuantizeLinear` and `DequantizeLinear`,
weights are rounded to their grid before each use, and gradients pass the rounding unchanged (Y. Bengio et al., arXiv:1308.3432). Learned scales get
the gradient of S. Esser et al., "Learned Step Size Quantization" (arXiv:1902.08153, section 2), which follows from the same rule. The scales of
activations stay as calibration found them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from compression.datasets import Samples
from compression.onnx_torch import OnnxNet
from compression.progress import Progress, no_progress
from compression.quantisation.checks import read_model
from compression.quantisation.grids import Array, Grid, QuantisedModel, float_weights, read_quantised
from compression.retraining import Retraining, retrain

CODE_MAX = 127


@dataclass(frozen=True, slots=True)
class Tuned:
    """What the training did: shares of the weights' codes that moved, and by how much scales did at most."""

    changed_share: float
    scale_change: float


def tune_quantised(
    prepared: Path,
    quantised: Path,
    target: Path,
    samples: Samples,
    how: Retraining,
    *,
    seed: int,
    teacher: OnnxNet | None = None,
    learn_scales: bool = False,
    progress: Progress = no_progress,
) -> Tuned:
    """Write `target`: `quantised` with codes (and scales, with `learn_scales`) that were trained on, from the float weights of `prepared`.

    Raises:
        ModelUnusable: the two do not belong together, or torch cannot run the graph.
        DataUnusable: the samples do not fit.
    """
    file = read_quantised(quantised, read_model(quantised))
    weights = float_weights(prepared, read_model(prepared), file)
    net = OnnxNet(file.opened())
    layers = {grid.value: _Layer(file, grid, weights[grid.codes]) for grid in file.grids}
    trained: dict[str, Tensor] = {value: layer.values for value, layer in layers.items()}
    if learn_scales:
        trained |= {f"{value} scale": layer.log_scale for value, layer in layers.items() if not layer.grid.is_bias}
    retrain(
        net,
        samples,
        how,
        seed=seed,
        teacher=teacher,
        trained=trained,
        substitutes=lambda: {value: layer.rounded() for value, layer in layers.items()},
        progress=progress,
        label="quantisation-aware",
    )
    return _written(file, layers, target)


class _Layer:
    """A weight or bias as a differentiable function of floats and of the logarithm of what its scale is multiplied with."""

    def __init__(self, file: QuantisedModel, grid: Grid, values: Array) -> None:
        self.grid = grid
        self._scale = torch.from_numpy(np.array(file.scale(grid)))
        self.values = torch.from_numpy(values.copy()).requires_grad_()
        self.log_scale = torch.zeros_like(self._scale).requires_grad_()
        # Esser et al., section 2.2: else a scale, being shared by many weights, would run away.
        calm = 1 / math.sqrt(max(values.size / max(self._scale.numel(), 1), 1) * CODE_MAX)
        self.log_scale.register_hook(lambda gradient: gradient * calm)  # type: ignore[no-untyped-call]

    def rounded(self) -> Tensor:
        if self.grid.is_bias:
            return self.values  # its steps are far below what matters
        scale = self._scale * torch.exp(self.log_scale)
        codes = torch.clamp(self.values / scale, -CODE_MAX, CODE_MAX)
        return (codes + (torch.round(codes) - codes).detach()) * scale

    def growth(self) -> Array:
        """What each scale is to be multiplied with; float32."""
        return torch.exp(self.log_scale.detach()).reshape(-1).numpy()


def _written(file: QuantisedModel, layers: Mapping[str, _Layer], target: Path) -> Tuned:
    before = {grid.codes: file.array(grid.codes).copy() for grid in file.grids}
    growth = {layer.grid.scale: layer.growth() for layer in layers.values() if not layer.grid.is_bias}
    for scale, factors in growth.items():
        old = file.array(scale)
        file.put(scale, (old.reshape(-1) * factors).astype(np.float32).reshape(old.shape))
    for bias, products in file.bias_scales():
        file.put(bias.scale, products)
    moved = total = 0
    for layer in layers.values():
        codes = file.code(layer.grid, layer.values.detach().numpy())
        file.put(layer.grid.codes, codes)
        if not layer.grid.is_bias:
            moved += int((codes != before[layer.grid.codes]).sum())
            total += codes.size
    file.write(target)
    change = max((float(np.abs(factors - 1).max()) for factors in growth.values()), default=0.0)
    return Tuned(moved / total, change)
