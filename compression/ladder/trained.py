"""Rungs by training the difference under a rate penalty: what the base plus whole numbers of one step a tensor can do, at what price. Needs torch.

The weights are `base + step * round(d)`. The net learns to say what the new version says (Kullback-Leibler divergence of its answers; no labels),
to give its layers what the new version gives them (A. Romero et al., "FitNets", arXiv:1412.6550: what it learns then holds farther from the samples),
and pays `rate` times what the codes cost. Rounding is passed over in the gradient (Y. Bengio et al., arXiv:1308.3432); the price has a slope
(`surrogate`). Each rung is trained by itself, at its own rate. What is written is what was trained: `delta.corrections.steps` does the same sums.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from compression.determinism import repeatable
from compression.errors import ModelUnusable
from compression.ladder.choice import PROMISES
from compression.ladder.codes import LARGEST_STEP, LEAST_STEP, Codes, Weights, rounded, start_step
from compression.ladder.divergence import LEAST_SHARE
from compression.ladder.inputs import Feeds, Variation, batches
from compression.ladder.layers import layers_of
from compression.ladder.rungs import Bench, Candidate
from compression.ladder.surrogate import NATS_PER_OCTAVE_OF_E, price
from compression.ladder.task import Aligned, Task
from compression.ladder.workers import Advance, in_order
from compression.onnx_torch import check_samples, load_net

AIM = 0.85
"""Of the divergence that is allowed: what comes of a training is not foretold better."""
_SAME_RATE = 0.1
_LEAST_SLOPE, _REACH = 0.3, math.log(4)
"""Beyond the rates that were tried: how the logarithm of the divergence rises with that of the rate at least, and how far to go."""
_FIRST, _SECOND, _LEAST = 0.9, 0.999, 1e-12
MIN_ITERATIONS = 20
TRAINING_SHARE = 0.8
"""Of the time that is given; the rest is for patches and predictions."""
_TIMED = 3
PRICES_EVERY = 25
"""Iterations between two looks at what a change costs in each channel."""


@dataclass(frozen=True, slots=True)
class TrainedRungs:
    """The maker. Each rung starts from the whole difference and pays its own rate, from the lowest to the highest.

    Attributes:
        rungs: how many before any is aimed, their rates spaced evenly by ratio.
        lowest_rate, highest_rate: loss in nats a sample for each nat of codes.
        iterations, last_iterations: batches for the rung of the lowest rate and for that of the highest; between by the rate's logarithm.
            What differs little from the new version takes long to find.
        deviations, vector_deviations: the first steps, in standard deviations of the difference, of matrices and of vectors.
        learning_rate, step_learning_rate: of Adam, for codes and for logarithms of steps; both fall by half a cosine.
        softness: answers are compared this many times softer: what the new version is sure of says little of how it decides.
        inner: the weight of what goes into the layers: mean over these of the squared error by the mean square, beside the divergence.
        sharing: how much of Adam's second moment is that of the whole tensor: an item that hardly matters is to move hardly.
    """

    rungs: int = 3
    iterations: int = 4000
    last_iterations: int = 2000
    lowest_rate: float = 3e-7
    highest_rate: float = 1e-5
    batch: int = 32
    deviations: float = 3.0
    vector_deviations: float = 2.0
    learning_rate: float = 0.02
    step_learning_rate: float = 0.01
    softness: float = 2.0
    inner: float = 0.5
    sharing: float = 0.5
    variation: Variation = field(default_factory=Variation)

    @property
    def name(self) -> str:
        return "trained"

    @property
    def rates(self) -> tuple[float, ...]:
        """Rising."""
        return tuple(np.geomspace(self.lowest_rate, self.highest_rate, self.rungs).tolist())

    def make(self, task: Task, bench: Bench) -> Iterator[Candidate]:
        """Yield one candidate for each rate; `bench.workers` of them are trained at a time, which changes no byte.

        Raises:
            ModelUnusable: torch cannot run the graph, or its output is no scores of classes.
            DataUnusable: the samples do not fit.
        """
        yield from self._trained(task, bench, {f"trained-{number}": rate for number, rate in enumerate(self.rates, 1)})

    def aimed(
        self, task: Task, bench: Bench, known: Sequence[tuple[Candidate, float]], goals: Sequence[float]
    ) -> Iterator[Candidate]:
        """Yield one candidate for each goal, at the rate at which divergences between those of `known` lie on a line, both as logarithms.

        A rate that was tried already gives none.
        """
        tried = sorted((candidate.settings["rate"], divergence) for candidate, divergence in known)
        rates = {f"aimed-{number}": _rate_for(tried, AIM * goal) for number, goal in enumerate(goals, 1)}
        new = {
            name: rate
            for name, rate in rates.items()
            if all(abs(math.log(rate / one)) > _SAME_RATE for one, _ in tried)
        }
        yield from self._trained(task, bench, new)

    def _trained(self, task: Task, bench: Bench, rates: Mapping[str, float]) -> Iterator[Candidate]:
        share = 1.0 if bench.minutes is None else self._affordable(task, bench, bench.minutes)
        # Without what the task has read: each process reads for itself.
        bare = replace(task)
        parts = []
        for name, rate in rates.items():
            wished = self._batches(rate)
            iterations = max(round(share * wished), min(wished, MIN_ITERATIONS))
            parts.append(_Part(self, bare, bench.folder / f"{name}.onnx", bench.threads, rate, iterations))
        yield from in_order(_rung, parts, bench.workers, partial(bench.report, f"{len(parts)} rungs"))

    def _batches(self, rate: float) -> int:
        """For the rung of this rate; beyond the lowest and the highest as for these."""
        ends = math.log(self.lowest_rate), math.log(self.highest_rate)
        return round(float(np.interp(math.log(rate), ends, (self.iterations, self.last_iterations))))

    def _affordable(self, task: Task, bench: Bench, minutes: float) -> float:
        """Which share of the iterations fits into the time, at most 1; what is written down is what was done."""
        with repeatable(bench.threads):
            seconds = _Training(self, task).seconds_an_iteration()
        batches = [self._batches(rate) for rate in self.rates] + [self.iterations] * len(PROMISES)
        longest = max(sum(batches) / bench.workers, *batches)
        return min(1.0, TRAINING_SHARE * 60 * minutes / (longest * seconds))


@dataclass(frozen=True, slots=True)
class _Part:
    """One rung's training."""

    wanted: TrainedRungs
    task: Task
    path: Path
    threads: int
    rate: float
    iterations: int


def _rung(part: _Part, report: Advance) -> Candidate:
    """Train it and write it."""
    task, wanted = part.task, part.wanted
    with repeatable(part.threads):
        training = _Training(wanted, task)
        training.train(part.rate, part.iterations, report)
        codes = training.codes()
    weights = {name: found.applied(task.aligned.base[name]) for name, found in codes.items()}
    task.write(part.path, {**training.exact, **weights})
    facts = {
        "rate": part.rate,
        "trained_iterations": part.iterations,
        "changed": sum(found.changed for found in codes.values()),
    }
    return Candidate(part.path.stem, part.path, wanted.name, asdict(wanted) | facts)


def _rate_for(tried: Sequence[tuple[float, float]], goal: float) -> float:
    """The rate for this divergence, from rates (rising) with theirs; beyond them along the nearest piece, not far."""
    rates = np.log([rate for rate, _ in tried])
    # Measured on a few hundred samples: a rate that seems to diverge less than one before it does not.
    found = np.maximum.accumulate(np.log([max(divergence, _LEAST) for _, divergence in tried]))
    aim = math.log(max(goal, _LEAST))
    if len(tried) > 1 and not found[0] <= aim <= found[-1]:
        near, far = (0, 1) if aim < found[0] else (-1, -2)
        slope = max((found[near] - found[far]) / (rates[near] - rates[far]), _LEAST_SLOPE)
        beyond = (aim - found[near]) / slope
        return float(math.exp(rates[near] + min(max(beyond, -_REACH), _REACH)))
    return float(math.exp(np.interp(aim, found, rates)))


class _Training:
    """All tensors that move, end to end in one vector of which the net is given views."""

    def __init__(self, wanted: TrainedRungs, task: Task) -> None:
        self._wanted = wanted
        self._net = load_net(task.new)
        self._gives_shares: bool | None = None
        fitted, _ = task.parts
        check_samples(self._net, fitted)
        weights = self._net.weights
        aligned = task.aligned
        self._names = tuple(name for name in aligned.moving if name in weights and weights[name].requires_grad)
        if not self._names:
            raise ModelUnusable(
                f"only {', '.join(aligned.moving)} differ, and these say how nodes work; there is nothing to train"
            )
        # What says how a node works is no matter of degree: it is taken from the new version as it is.
        self.exact = {name: aligned.target[name] for name in aligned.moving if name not in self._names}
        self._inner = _inputs_of_layers(task) if wanted.inner else ()
        held = {*weights, *self._net.statistics}
        self._standing = {name: torch.tensor(aligned.base[name]) for name in aligned.still if name in held}
        self._shapes = [aligned.base[name].shape for name in self._names]
        self._sizes = [aligned.base[name].size for name in self._names]
        steps = [_first_step(aligned, name, wanted) for name in self._names]
        self._log_steps = torch.log(torch.tensor(steps, dtype=torch.float64))
        self._owners = torch.repeat_interleave(torch.arange(len(steps)), torch.tensor(self._sizes))
        self._base = self._flat(aligned.base)
        difference = self._flat(aligned.target) - self._base
        self._numbers = (difference / torch.exp(self._log_steps)[self._owners]).float()
        self._prices = torch.zeros_like(self._numbers)
        generator = torch.Generator().manual_seed(task.seed)
        self._lessons = batches(fitted, wanted.batch, wanted.variation, generator)

    def seconds_an_iteration(self) -> float:
        """Wall time on this machine, of the median of a few."""
        lesson = next(self._lessons)
        taken = []
        for _ in range(_TIMED):
            started = time.perf_counter()
            self._slopes(lesson, 0.0)
            taken.append(time.perf_counter() - started)
        return sorted(taken)[_TIMED // 2]

    def train(self, rate: float, iterations: int, report: Advance) -> None:
        """From where the numbers are, at this rate."""
        wanted = self._wanted
        codes_mover = _Adam(self._numbers, self._owners, self._sizes, wanted.sharing)
        step_mover = _Adam(self._log_steps, torch.arange(len(self._sizes)), [1] * len(self._sizes), 0.0)
        for place in range(iterations):
            if place % PRICES_EVERY == 0:
                self._set_prices()
                report(place / iterations)
            fall = 0.5 + 0.5 * math.cos(math.pi * place / iterations)
            slope, step_slope = self._slopes(next(self._lessons), rate)
            self._numbers -= wanted.learning_rate * fall * codes_mover.direction(slope)
            self._log_steps -= wanted.step_learning_rate * fall * step_mover.direction(step_slope)

    def codes(self) -> dict[str, Codes]:
        """Today's codes by tensor."""
        parts = torch.split(self._numbers, self._sizes)
        steps = self._steps().tolist()
        return {
            name: rounded(part.numpy().astype(np.float64).reshape(shape) * step, step)
            for name, shape, part, step in zip(self._names, self._shapes, parts, steps, strict=True)
        }

    def _steps(self) -> torch.Tensor:
        """As they will be written: float16, in float32."""
        return torch.exp(self._log_steps).clamp(LEAST_STEP, LARGEST_STEP).to(torch.float16).float()

    def _slopes(self, feeds: Feeds, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the divergence, through the rounding, plus `rate` times the price: by each number, by each logarithm of a step."""
        steps = self._steps()[self._owners]
        codes = torch.round(self._numbers)
        weights = (self._base + steps * codes).requires_grad_()
        views = torch.split(weights, self._sizes)
        moved = {name: view.reshape(shape) for name, view, shape in zip(self._names, views, self._shapes, strict=True)}
        with torch.no_grad():
            wanted, aims = self._said(feeds, {})
        said, inner = self._said(feeds, {**self._standing, **moved})
        loss = self._wanted.softness**2 * (wanted.exp() * (wanted - said)).sum(dim=1).mean()
        if self._inner:
            loss = loss + self._wanted.inner * _inner_error(inner, aims)
        if not torch.isfinite(loss):
            raise ModelUnusable("the nets' answers to the samples are not finite: nothing can be learned from them")
        (slope,) = torch.autograd.grad(loss, weights)
        magnitudes = torch.abs(self._numbers)
        price_slope = torch.where(magnitudes < 1, self._prices, NATS_PER_OCTAVE_OF_E / torch.clamp(magnitudes, min=1))
        by_number = slope * steps + rate * price_slope * torch.sign(self._numbers)
        by_step = torch.zeros_like(self._log_steps).index_add_(0, self._owners, (slope * codes * steps).double())
        return by_number, by_step

    def _said(self, feeds: Feeds, instead: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Logarithms of what the classes (axis 1) are given, softened, and what goes into the layers by name."""
        port = self._net.outputs[0].name
        values = self._net(feeds, instead=instead, also=self._inner)
        answer = values[port]
        if answer.ndim < 2 or answer.shape[1] < 2 or not answer.is_floating_point():
            raise ModelUnusable(
                f"output {port} has the shape {tuple(answer.shape)}: training compares scores of classes, one row a sample"
            )
        if self._gives_shares is None:
            sums = answer.detach().sum(dim=1)
            self._gives_shares = bool(
                (answer.detach() >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
            )
        scores = torch.log(answer.clamp_min(LEAST_SHARE)) if self._gives_shares else answer
        return torch.log_softmax(scores / self._wanted.softness, dim=1), {name: values[name] for name in self._inner}

    def _set_prices(self) -> None:
        codes = torch.round(self._numbers).to(torch.int16).numpy()
        at, found = 0, []
        for shape, size in zip(self._shapes, self._sizes, strict=True):
            found.append(price(codes[at : at + size], dims=shape).per_change)
            at += size
        self._prices = torch.from_numpy(np.concatenate(found).astype(np.float32))

    def _flat(self, weights: Mapping[str, Weights]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([weights[name].reshape(-1) for name in self._names]))


class _Adam:
    """The direction of Adam (D. Kingma and J. Ba, arXiv:1412.6980), its second moment drawn towards that of the tensor by `sharing`."""

    def __init__(self, like: torch.Tensor, owners: torch.Tensor, sizes: list[int], sharing: float) -> None:
        self._first, self._second = torch.zeros_like(like), torch.zeros_like(like)
        self._owners, self._sizes, self._sharing = owners, torch.tensor(sizes, dtype=like.dtype), sharing
        self._count = 0

    def direction(self, slope: torch.Tensor) -> torch.Tensor:
        """Against which to go, about 1 in size, after this slope."""
        self._count += 1
        self._first.mul_(_FIRST).add_(slope, alpha=1 - _FIRST)
        self._second.mul_(_SECOND).addcmul_(slope, slope, value=1 - _SECOND)
        size = self._second
        if self._sharing:
            by_tensor = torch.zeros_like(self._sizes).index_add_(0, self._owners, size) / self._sizes
            size = torch.lerp(size, by_tensor[self._owners], self._sharing)
        scale = torch.sqrt(size / (1 - _SECOND**self._count)).add_(_LEAST)
        return self._first / (1 - _FIRST**self._count) / scale


def _inner_error(inner: Mapping[str, torch.Tensor], aims: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Mean over the layers of the squared error of what goes in, by the mean square of what the new version gives them."""
    errors = [((inner[name] - aim) ** 2).mean() / aim.square().mean().clamp_min(_LEAST) for name, aim in aims.items()]
    return torch.stack(errors).mean()


def _inputs_of_layers(task: Task) -> tuple[str, ...]:
    """Values of the graph that products with constant weights read; folding leaves them as they are."""
    given = {port.name for port in task.new_model.graph.input}
    names = [layer.input_name for layer in layers_of(task.new_model, task.aligned.target) if not layer.is_affine]
    return tuple(dict.fromkeys(name for name in names if name not in given))


def _first_step(aligned: Aligned, name: str, wanted: TrainedRungs) -> float:
    deviations = wanted.vector_deviations if name in aligned.vectors else wanted.deviations
    return float(start_step(aligned.target[name] - aligned.base[name], deviations))
