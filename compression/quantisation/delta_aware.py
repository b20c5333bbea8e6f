"""An int8 update that is cheap to send: the new version on the grids of the file that devices hold, codes changing only where that is worth it.

Ordinary quantisation gives a new version new scales, and so nearly every code moves. Here the held file's scales and zero points stay (those of an
activation or channel whose range has changed too much excepted), and codes change in steps of whole numbers, in two stages:

1. without training: of each code the change that costs least in `importance / 2 * error^2 + rate * nats`, the importance being the diagonal of the
   Gauss-Newton matrix of the divergence from the new version's answers (J. Martens, arXiv:1412.1193, section 9), found on training samples;
2. trained: changes are rounded in each run and gradients pass the rounding (Y. Bengio et al., arXiv:1308.3432); the loss is the divergence from
   the new version's answers plus `rate` times what the changes cost (`compression.ladder.surrogate`). No labels are needed.

Of several rates the highest is taken whose file still answers like the new version on training samples that were kept for that choice. Needs torch.
"""

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.datasets import Samples
from compression.errors import ModelUnusable
from compression.ladder.inputs import Feeds, Variation, batches, varied
from compression.ladder.surrogate import NATS_PER_OCTAVE_OF_E, price
from compression.onnx_torch import OnnxNet, check_samples, feeds_of, load_net
from compression.progress import Progress, no_progress
from compression.quantisation.checks import read_model
from compression.quantisation.grids import Grid, QuantisedModel, first_difference, float_weights, read_quantised
from compression.quantisation.static import prepare, quantise_prepared
from compression.retraining import one_thread, scores

Floats = NDArray[np.float64]

JUDGED_TIMES = 4
"""How often each sample is judged, each time moved otherwise."""
PRICES_EVERY = 25
"""Iterations between two looks at what a change costs in each channel."""
_CHANGE_MAX = 2**14


@dataclass(frozen=True, slots=True)
class DeltaAware:
    """How the codes are chosen.

    Attributes:
        rates: rising, nats of divergence a sample for a nat of codes; each goes on from the last.
        first_iterations, iterations: batches of training at the first and at each further rate; 0: the choice without training.
        deviations, bias_deviations: the step in which codes change, in standard deviations of the difference; at least one code.
        agreement_loss: how much less often than ordinary quantisation the file may answer like the new version, on moved and mixed samples.
        kept_share: of the training samples, for that choice.
        keep_range: a scale stays unless the new one is so many times larger; an activation's also, unless it is smaller by twice that.
    """

    rates: tuple[float, ...] = (1e-6, 3e-6)
    first_iterations: int = 200
    iterations: int = 100
    deviations: float = 4.0
    bias_deviations: float = 1.5
    agreement_loss: float = 0.03
    kept_share: float = 0.15
    keep_range: float = 1.25
    learning_rate: float = 0.05
    batch: int = 64
    importance_samples: int = 512


@dataclass(frozen=True, slots=True)
class Tried:
    """What one rate gave: on the samples kept for the choice, and of all codes of weights the share that changed."""

    rate: float
    agreement: float
    changed_share: float


@dataclass(frozen=True, slots=True)
class Updated:
    """What was written: `chosen` of `tried` by place, and whether it agrees as often as is wanted.

    Attributes:
        usual_agreement: of ordinary quantisation, on the same samples.
        clipped_share: of all codes those that the new version would have beyond the held grid.
    """

    tried: Sequence[Tried]
    chosen: int
    is_good: bool
    usual_agreement: float
    clipped_share: float
    scales_replaced: Sequence[str]


def update_int8(
    held: Path,
    new: Path,
    target: Path,
    samples: Samples,
    how: DeltaAware,
    *,
    seed: int,
    calibration: int = 512,
    method: str = "minmax",
    percentile: float = 99.99,
    per_channel: bool = True,
    progress: Progress = no_progress,
) -> Updated:
    """Write `target`: int8 like `held`, and answering like `new`, a float32 file of the same architecture.

    `samples` are training samples: for calibration, training and choice; labels are not used. `calibration`, `method`, `percentile` and
    `per_channel` are those that `held` was quantised with.

    Raises:
        ModelUnusable: `held` is no QDQ file, or not of the same graph as `new` once that is quantised; the message names the difference.
        DataUnusable: the samples do not fit.
    """
    kept = max(round(len(samples) * how.kept_share), 1)
    fitted, choice = samples.take(slice(kept, None)), samples.first(kept)
    with tempfile.TemporaryDirectory() as name, one_thread(seed):
        folder = Path(name)
        prepared, ordinary = folder / "prepared.onnx", folder / "ordinary.onnx"
        prepare(new, prepared)
        quantise_prepared(
            prepared,
            ordinary,
            fitted.first(calibration),
            method=method,
            percentile=percentile,
            per_channel=per_channel,
        )
        file = read_quantised(held, read_model(held))
        fresh = read_quantised(ordinary, read_model(ordinary))
        if difference := first_difference(file.model, fresh.model):
            raise ModelUnusable(f"{held.name} is not quantised like {new.name} would be: {difference}")
        replaced = _take_ranges(file, fresh, how.keep_range)
        weights = float_weights(prepared, read_model(prepared), fresh)
        work = _Codes(file, weights, how, seed)
        teacher = load_net(new)
        check_samples(teacher, fitted)
        tried, files = [], []
        judge = _Judge(teacher, choice, seed)
        for place, rate in enumerate(how.rates):
            iterations = how.iterations if place else how.first_iterations
            if iterations:
                work.train(teacher, fitted, rate, iterations, progress)
            else:
                work.choose(fitted.first(how.importance_samples), rate)
            path = folder / f"{place}.onnx"
            changed = work.write(path)
            files.append(path)
            tried.append(Tried(rate, judge(path), changed))
        usual = judge(ordinary)
        chosen, is_good = _choice(tried, usual - how.agreement_loss)
        target.write_bytes(files[chosen].read_bytes())
        return Updated(tried, chosen, is_good, usual, work.clipped_share, replaced)


def _choice(tried: Sequence[Tried], least: float) -> tuple[int, bool]:
    """The last that agrees often enough, and whether there is one; else that which agrees most."""
    good = [place for place, one in enumerate(tried) if one.agreement >= least]
    if good:
        return good[-1], True
    return max(range(len(tried)), key=lambda place: tried[place].agreement), False


class _Judge:
    """How often a file says what the new version says, on samples that no code was fitted to.

    The new version knows them by heart, and says them right whatever is done to it; so they are moved and mixed, where it is less sure.
    """

    def __init__(self, teacher: OnnxNet, samples: Samples, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        variation = Variation(plain=0.25, mixed=0.35)
        self._feeds = [varied(feeds_of(samples), variation, generator) for _ in range(JUDGED_TIMES)]
        self._wanted = self._classes(teacher)

    def __call__(self, path: Path) -> float:
        return float((self._classes(load_net(path)) == self._wanted).mean())

    def _classes(self, net: OnnxNet) -> NDArray[np.int64]:
        with torch.no_grad():
            return np.concatenate([scores(net, feeds).argmax(dim=1).numpy() for feeds in self._feeds])


class _Codes:
    """All codes end to end: `held + step * round(numbers)`, clipped to their type; the net is given views of the values they stand for."""

    def __init__(self, file: QuantisedModel, weights: Mapping[str, Any], how: DeltaAware, seed: int) -> None:
        self._file, self._how = file, how
        self._generator = torch.Generator().manual_seed(seed)
        self._grids = file.grids
        self._net = OnnxNet(file.opened())
        held, wanted, steps, scales, highest = [], [], [], [], []
        for grid in self._grids:
            codes = file.array(grid.codes).astype(np.float64)
            scale = np.broadcast_to(file.scale(grid), codes.shape).astype(np.float64)
            target = weights[grid.codes] / scale + file.zero(grid)
            spread = float((target - codes).std())
            deviations = how.bias_deviations if grid.is_bias else how.deviations
            held.append(codes.ravel())
            wanted.append(target.ravel())
            scales.append(scale.ravel())
            limit = float(np.iinfo(file.array(grid.codes).dtype).max)
            step = float(max(round(deviations * spread), 1))
            steps.append(np.full(codes.size, step if grid.is_bias else min(step, limit)))
            highest.append(np.full(codes.size, limit))
        self._sizes = [part.size for part in held]
        self._shapes = [file.array(grid.codes).shape for grid in self._grids]
        self._held, self._wanted, self._steps, self._scales, self._highest = map(
            np.concatenate, (held, wanted, steps, scales, highest)
        )
        outside = np.abs(self._wanted) > self._highest + 0.5
        self.clipped_share = float(outside.mean())
        self._numbers = torch.from_numpy(
            np.clip((self._wanted - self._held) / self._steps, -_CHANGE_MAX, _CHANGE_MAX).astype(np.float32)
        )
        self._prices = torch.zeros_like(self._numbers)

    def choose(self, samples: Samples, rate: float) -> None:
        """Take the changes that cost least by importance and price."""
        importance = self._importance(samples) * np.square(self._scales * self._steps)
        ideal = (self._wanted - self._held) / self._steps
        low, high = (-self._highest - self._held) / self._steps, (self._highest - self._held) / self._steps
        found = np.rint(ideal)
        for _ in range(3):
            self._numbers = torch.from_numpy(found.astype(np.float32))
            self._set_prices()
            per_change = self._prices.numpy().astype(np.float64)
            best, least = np.zeros_like(found), 0.5 * importance * np.square(ideal)
            for candidate in (np.trunc(ideal), np.rint(ideal), np.trunc(ideal) + np.sign(ideal)):
                whole = np.clip(candidate, np.ceil(low), np.floor(high))
                sizes = np.abs(whole)
                nats = np.minimum(sizes, 1) * per_change + NATS_PER_OCTAVE_OF_E * np.log(np.maximum(sizes, 1))
                cost = 0.5 * importance * np.square(ideal - whole) + rate * nats
                better = cost < least
                best[better], least[better] = whole[better], cost[better]
            found = best
        self._numbers = torch.from_numpy(found.astype(np.float32))

    def train(self, teacher: OnnxNet, samples: Samples, rate: float, total: int, progress: Progress) -> None:
        """Go on from where the numbers are, at this rate."""
        how = self._how
        lessons = batches(samples, how.batch, Variation(), self._generator)
        numbers = self._numbers.clone().requires_grad_()
        self._numbers = numbers
        optimiser = torch.optim.Adam([numbers], lr=how.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
        with progress(f"rate {rate:g}", total) as advance:
            for place in range(total):
                if place % PRICES_EVERY == 0:
                    self._set_prices()
                feeds = next(lessons)
                with torch.no_grad():
                    wanted = torch.log_softmax(scores(teacher, feeds), 1)
                self._set_gradient(feeds, wanted, rate)
                optimiser.step()
                schedule.step()
                advance(1)
        self._numbers = numbers.detach()

    def write(self, path: Path) -> float:
        """Write the file with today's codes; the share of the weights' codes that are not the held ones."""
        parts = np.split(self._codes().numpy(), np.cumsum(self._sizes)[:-1])
        moved = total = 0
        for grid, shape, part in zip(self._grids, self._shapes, parts, strict=True):
            before = self._file.array(grid.codes)
            codes = part.reshape(shape).astype(before.dtype)
            held = np.rint(self._held[self._slice(grid)]).reshape(shape)
            if not grid.is_bias:
                moved += int((codes != held).sum())
                total += codes.size
            self._file.put(grid.codes, codes)
        self._file.write(path)
        return moved / total

    def _slice(self, grid: Grid) -> slice:
        place = self._grids.index(grid)
        start = sum(self._sizes[:place])
        return slice(start, start + self._sizes[place])

    def _codes(self) -> Tensor:
        """float64, for int32 does not fit into float32."""
        codes = torch.from_numpy(self._held) + torch.from_numpy(self._steps) * torch.round(
            self._numbers.detach().double()
        )
        limit = torch.from_numpy(self._highest)
        return torch.minimum(torch.maximum(codes, -limit), limit)

    def _set_gradient(self, feeds: Feeds, wanted: Tensor, rate: float) -> None:
        """Of the divergence, through the rounding, plus `rate` times that of the price."""
        values = (self._codes() * torch.from_numpy(self._scales)).float().requires_grad_()
        said = torch.log_softmax(scores(self._net, feeds, self._views(values)), 1)
        loss = (wanted.exp() * (wanted - said)).sum(dim=1).mean()
        (slope,) = torch.autograd.grad(loss, values)
        numbers = self._numbers.detach()
        magnitudes = torch.abs(numbers)
        priced = torch.where(magnitudes < 1, self._prices, NATS_PER_OCTAVE_OF_E / torch.clamp(magnitudes, min=1))
        by_number = torch.from_numpy((self._scales * self._steps).astype(np.float32))
        self._numbers.grad = slope * by_number + rate * priced * torch.sign(numbers)

    def _importance(self, samples: Samples) -> Floats:
        """For each value the curvature of the divergence there: squared gradients along random vectors whose covariance is that of the answers."""
        wanted = (self._wanted * self._scales).astype(np.float32)
        total = np.zeros(len(wanted))
        # Moved and mixed: of what it knows by heart the new version is so sure that nothing would matter.
        lessons = batches(samples, self._how.batch, Variation(), self._generator)
        rounds = max(len(samples) // self._how.batch, 1)
        for feeds in itertools.islice(lessons, rounds):
            values = torch.from_numpy(wanted).clone().requires_grad_()
            answers = scores(self._net, feeds, self._views(values))
            shares = torch.softmax(answers.detach(), dim=1)
            roots = (torch.randint(0, 2, shares.shape, generator=self._generator) * 2.0 - 1) * shares.sqrt()
            # Independent over samples with mean 0, so that the square of the sum is, in the mean, the sum of the squares.
            drawn = roots - shares * roots.sum(dim=1, keepdim=True)
            (slope,) = torch.autograd.grad((answers * drawn).sum(), values)
            total += np.square(slope.numpy().astype(np.float64))
        return total / (rounds * min(self._how.batch, len(samples)))

    def _views(self, values: Tensor) -> dict[str, Tensor]:
        parts = torch.split(values, self._sizes)
        return {
            grid.value: part.reshape(shape) for grid, part, shape in zip(self._grids, parts, self._shapes, strict=True)
        }

    def _set_prices(self) -> None:
        changes = torch.round(self._numbers.detach()).clamp(-_CHANGE_MAX, _CHANGE_MAX).to(torch.int16).numpy()
        parts = np.split(changes, np.cumsum(self._sizes)[:-1])
        prices = [price(part, dims=shape).per_change for part, shape in zip(parts, self._shapes, strict=True)]
        self._prices = torch.from_numpy(np.concatenate(prices).astype(np.float32))


def _take_ranges(file: QuantisedModel, fresh: QuantisedModel, keep_range: float) -> list[str]:
    """Let activations and channels whose range has changed too much have the new version's grid, and biases the product that follows.

    Which these are: names of scales, for channels with how many of them.
    """
    replaced = []
    for scale, zero_point in file.activation_grids():
        ratio = float(fresh.array(scale)) / float(file.array(scale))
        if not 0.5 / keep_range <= ratio <= keep_range:
            replaced.append(scale)
            file.put(scale, fresh.array(scale))
            file.put(zero_point, fresh.array(zero_point))
    for grid in (grid for grid in file.grids if not grid.is_bias):
        old, new = file.array(grid.scale), fresh.array(grid.scale)
        too_small = new > keep_range * old
        if too_small.any():
            replaced.append(f"{grid.scale} ({int(too_small.sum())} of {too_small.size})")
            values = file.values(grid)
            file.put(grid.scale, np.where(too_small, new, old))
            file.put(grid.codes, file.code(grid, values))
    if replaced:
        _rescale_biases(file)
    return replaced


def _rescale_biases(file: QuantisedModel) -> None:
    """Give biases the scale that follows from their activation and weight, and the codes that stand for what they stood for."""
    for grid, scale in file.bias_scales():
        values = file.values(grid)
        file.put(grid.scale, scale)
        file.put(grid.codes, file.code(grid, values))
