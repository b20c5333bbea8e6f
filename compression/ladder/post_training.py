"""Rungs without training: each layer's difference is chosen so that its outputs on calibration samples are those of the new version.

Layer by layer in the order of the graph, on what the rung really feeds it: first the matrix that is best at all (least squares
against the new version's outputs, so that a layer makes up for those before it), then the whole numbers of a step that are near it and
cheap (`assignment`). Gains and shifts of normalisations are fitted likewise, a channel at a time; that is batch norm matching. Needs
weights, samples and ONNX Runtime; labels, gradients and torch are not needed, gradients help where the graph runs in torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compression.datasets import Samples
from compression.ladder.assignment import Problem, assign_together
from compression.ladder.codes import as_step
from compression.ladder.layers import Layer, Walk, layers_of, with_weights
from compression.ladder.moments import (
    Moments,
    affine_with_slopes,
    affine_without_slopes,
    odd_stride,
    with_slopes,
    without_slopes,
)
from compression.ladder.rungs import Bench, Candidate
from compression.ladder.sensitivity import Sensitivity, sensitivity
from compression.ladder.task import Aligned, Task, Weights
from delta.corrections.steps import moved

Floats = NDArray[np.float64]

STEPS_IN_SIGMA = (0.15, 0.3, 0.6, 1.0, 1.6, 2.5, 4.0, 6.5, 10.0, 16.0, 25.0)
VECTOR_STEPS_IN_SIGMA = (0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0)
_PRIOR = 0.05
"""How much of the new version's own matrix stands in the fitted one, as a share of the inputs' mean square."""


@dataclass(frozen=True, slots=True)
class PostTraining:
    """Makes one rung for each of `bit_costs`: loss (nats a sample) that one bit may cost.

    Attributes:
        calibration: how many of the training samples are looked at.
        gradients: whether torch is asked what errors cost, where it runs the graph; else ONNX Runtime says it for each layer.
    """

    bit_costs: tuple[float, ...] = (3e-8, 1e-7, 2e-7, 4e-7, 8e-7, 1.6e-6, 3.2e-6)
    calibration: int = 512
    gradients: bool = True
    name: str = field(default="post-training", init=False)

    def make(self, task: Task, bench: Bench) -> Iterator[Candidate]:
        """Yield a candidate for each cost of a bit, the cheapest bits first.

        Raises:
            CompressionError: the graph or the samples cannot be worked with.
        """
        samples = task.parts[0].first(self.calibration)
        costs = sensitivity(task, samples, gradients=self.gradients)
        layers = [one for one in layers_of(task.new_model, task.aligned.base) if _moves(one, task.aligned)]
        wanted = Walk(with_weights(task.new_model, task.aligned.target), samples)
        choosers = [_Chooser(task, samples, costs, bit_cost) for bit_cost in self.bit_costs]
        for chooser in choosers:
            chooser.choose_loose({name for layer in layers for name in (layer.weight, layer.bias) if name is not None})
        # All rungs side by side: what a layer's errors cost is found out once.
        for place, layer in enumerate(layers):
            bench.report(f"layer {place + 1} of {len(layers)}", place / len(layers))
            aim = _aim(layer, wanted, costs, task.aligned.base[layer.weight])
            later = [name for one in layers[place + 1 :] for name in (one.input_name, one.output_name)]
            for chooser in choosers:
                chooser.choose_layer(layer, aim, later)
            wanted.keep_for(later)
        for place, chooser in enumerate(choosers):
            path = bench.folder / f"{self.name}-{place + 1}.onnx"
            task.write(path, chooser.chosen)
            settings = {"bit_cost": chooser.bit_cost, "calibration": len(samples), "gradients": bool(costs.slopes)}
            yield Candidate(path.stem, path, self.name, settings)


def _moves(layer: Layer, aligned: Aligned) -> bool:
    return bool({layer.weight, layer.bias} & set(aligned.moving))


@dataclass(frozen=True, slots=True)
class _Aim:
    """What a layer of the rung should give: `outputs` [positions, channels] of the new version, and what errors cost.

    Attributes:
        moments: of each group of the matrix; for gains and shifts `affine` [channels, 2, 2] instead.
        shift_costs: of an error of each channel's shift; [channels].
    """

    outputs: NDArray[np.float32]
    moments: tuple[Moments, ...]
    affine: Floats
    shift_costs: Floats


def _aim(layer: Layer, wanted: Walk, costs: Sensitivity, weight: Weights) -> _Aim:
    given, found = wanted.values([layer.input_name, layer.output_name], {})
    outputs = layer.outputs(found)
    slopes, cost = costs.slopes.get(layer.weight), costs.by_layer[layer.weight]
    if layer.is_affine:
        plain = {layer.weight: np.ones_like(weight), str(layer.bias): np.zeros_like(weight)}
        normal = layer.outputs(wanted.trial(layer.output_name, plain))
        affine = (
            affine_without_slopes(normal, wanted.count, cost) if slopes is None else affine_with_slopes(normal, slopes)
        )
        return _Aim(outputs, (), affine, affine[:, 1, 1])
    rows = outputs.shape[1] // layer.groups
    moments = []
    for group, patches in enumerate(layer.rows(given, weight.shape)):
        inputs = np.ascontiguousarray(patches, np.float32)
        own = slice(group * rows, (group + 1) * rows)
        if slopes is None:
            moments.append(without_slopes(inputs, wanted.count, cost, rows))
        else:
            moments.append(with_slopes(inputs, np.ascontiguousarray(slopes[:, :, own])))
    ones = np.ones(outputs.shape, np.float32)
    affine = affine_without_slopes(ones, wanted.count, cost) if slopes is None else affine_with_slopes(ones, slopes)
    return _Aim(outputs, tuple(moments), np.empty((0, 2, 2)), affine[:, 1, 1])


class _Chooser:
    """One rung in the making. Layers whose turn has not come are those of the new version."""

    def __init__(self, task: Task, samples: Samples, costs: Sensitivity, bit_cost: float) -> None:
        self.bit_cost = bit_cost
        self.chosen: dict[str, Weights] = {}
        self._base, self._target = task.aligned.base, task.aligned.target
        self._moving = frozenset(task.aligned.moving)
        self._costs = costs
        self._walk = Walk(with_weights(task.new_model, self._target), samples)

    def choose_loose(self, in_layers: set[str]) -> None:
        """Tensors that are in no layer: each item by its own size."""
        for name in sorted(self._moving - in_layers):
            difference = (self._target[name].astype(np.float64) - self._base[name]).reshape(-1)
            self._put(name, *self._of_numbers(difference, np.full(difference.size, self._costs.by_tensor[name])))

    def choose_layer(self, layer: Layer, aim: _Aim, later: list[str]) -> None:
        """Choose the layer's tensors; keep what is needed for the values `later`."""
        if layer.is_affine and layer.bias is not None:
            self._choose_gains(layer, layer.bias, aim)
        else:
            self._choose_matrix(layer, aim)
            if layer.bias is not None and layer.bias in self._moving:
                self._choose_shift(layer, layer.bias, aim)
        # From here on the layer is what it will be.
        self._walk.values([layer.output_name], self.chosen)
        self._walk.keep_for(later)

    def _choose_matrix(self, layer: Layer, aim: _Aim) -> None:
        (given,) = self._walk.values([layer.input_name], self.chosen)
        old, new = (side[layer.weight] for side in (self._base, self._target))
        old_matrix, new_matrix = (layer.matrix(side).astype(np.float64) for side in (old, new))
        bias = None if layer.bias is None else (self._target if layer.bias in self._moving else self._base)[layer.bias]
        outputs = aim.outputs if bias is None else aim.outputs - bias
        rows = outputs.shape[1] // layer.groups
        problems = []
        for group, (inputs, moments) in enumerate(zip(layer.rows(given, old.shape), aim.moments, strict=True)):
            own = slice(group * rows, (group + 1) * rows)
            fitted = _least_squares(inputs, outputs[:, own], new_matrix[own])
            problems.append(Problem(fitted - old_matrix[own], moments.second_moment, moments.row_costs))
        sigma = float(np.sqrt(np.square(new_matrix - old_matrix).mean()))
        step, found = assign_together(problems, _steps(sigma, STEPS_IN_SIGMA), self.bit_cost)
        self._put(layer.weight, step, layer.tensor(np.concatenate([one.codes for one in found]), old.shape))

    def _choose_shift(self, layer: Layer, bias: str, aim: _Aim) -> None:
        """What the outputs lack on average."""
        now = self._tried(layer, {bias: self._base[bias]})
        lacking = (aim.outputs.astype(np.float64) - now).mean(axis=0)
        self._put(bias, *self._of_numbers(lacking, aim.shift_costs))

    def _choose_gains(self, layer: Layer, beta: str, aim: _Aim) -> None:
        """Gain and shift of each channel: the gain as if the shift were free afterwards, then the shift that is left."""
        gamma = layer.weight
        normal = self._tried(layer, {gamma: np.ones_like(self._base[gamma]), beta: np.zeros_like(self._base[beta])})
        mean, wanted_mean = normal.mean(axis=0, dtype=np.float64), aim.outputs.mean(axis=0, dtype=np.float64)
        centred = normal - mean
        variance = np.square(centred).mean(axis=0)
        covariance = (centred * (aim.outputs - wanted_mean)).mean(axis=0)
        prior = _PRIOR * float(variance.mean()) + 1e-12
        gain = (covariance + prior * self._target[gamma]) / (variance + prior)
        across = aim.affine[:, 0, 1] / np.maximum(aim.affine[:, 1, 1], 1e-300)
        alone = np.maximum(aim.affine[:, 0, 0] - across * aim.affine[:, 0, 1], 1e-300)
        self._put(gamma, *self._of_numbers(gain - self._base[gamma], alone))
        shift = wanted_mean - gain * mean + (gain - self.chosen[gamma]) * across
        self._put(beta, *self._of_numbers(shift - self._base[beta], aim.shift_costs))

    def _of_numbers(self, difference: Floats, costs: Floats) -> tuple[float, NDArray[np.int64]]:
        """Step and codes of numbers that each have a cost of their own."""
        problem = Problem(difference[:, None], np.ones((1, 1)), costs)
        sigma = float(np.sqrt(np.square(difference).mean()))
        step, (found,) = assign_together([problem], _steps(sigma, VECTOR_STEPS_IN_SIGMA), self.bit_cost)
        return step, found.codes[:, 0]

    def _put(self, name: str, step: float, codes: NDArray[np.int64]) -> None:
        base = self._base[name]
        shaped = codes.reshape(base.shape)
        self.chosen[name] = moved(base, shaped, np.float32(step)) if shaped.any() else base

    def _tried(self, layer: Layer, weights: Mapping[str, Weights]) -> NDArray[np.float32]:
        """[positions, channels] of what would come out of the layer."""
        return layer.outputs(self._walk.trial(layer.output_name, {**self.chosen, **weights}))


def _steps(sigma: float, widths: tuple[float, ...]) -> list[float]:
    return [float(as_step(width * sigma)) for width in widths]


def _least_squares(inputs: NDArray[np.float32], outputs: NDArray[np.float32], goal: Floats) -> Floats:
    """The matrix [rows, columns] that makes these outputs of the inputs, drawn towards `goal`."""
    stride = odd_stride(len(inputs))
    x = np.ascontiguousarray(inputs[::stride], np.float32)
    moment = (x.T @ x).astype(np.float64) / len(x)
    lacking = outputs[::stride] - x @ goal.T.astype(np.float32)
    prior = _PRIOR * float(np.diag(moment).mean()) + 1e-12
    change = np.linalg.solve(moment + prior * np.eye(len(moment)), (x.T @ lacking).astype(np.float64) / len(x))
    found: Floats = goal + change.T
    return found
