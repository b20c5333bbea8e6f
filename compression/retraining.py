"""Training an ONNX net on from its file, with labels, with a teacher, or with both. One thread, fixed seeds: the same bytes again.

The teacher is another net of the same task, most often the one before compression: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in
a Neural Network" (arXiv:1503.02531). Its answers are computed for every batch, on the same shifted images as the student's.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from compression.datasets import Samples
from compression.determinism import repeatable
from compression.errors import DataUnusable, ModelUnusable
from compression.onnx_torch import OnnxNet, check_samples, feeds_of
from compression.progress import Progress, no_progress
from compression.training import shift

Substitutes = Callable[[], Mapping[str, Tensor]]
"""Tensors that take the place of weights in the next run and get the gradients, see `OnnxNet`."""

_IMAGE_AXES = 4


@dataclass(frozen=True, slots=True)
class Retraining:
    """How a net is trained on.

    Attributes:
        epochs: passes over the samples.
        learning_rate: of Adam at the start; it falls to zero by a half cosine, after a rise over the first twentieth of the steps.
        batch: samples per step; what is left over of a pass is left out of it.
        shift_pixels: images are moved and turned about by up to so many pixels; 0 leaves them as they are. Other inputs stay as they are.
        alpha: the teacher's share of the loss, 0 to 1; the labels' share is the rest, and 1 needs no labels.
        temperature: what the logits of both are divided by before the teacher's loss; its gradients are scaled back by the square.
        weight_decay: of AdamW, on everything that is trained.
    """

    epochs: int
    learning_rate: float
    batch: int = 64
    shift_pixels: float = 0.0
    alpha: float = 0.9
    temperature: float = 3.0
    weight_decay: float = 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a training stands: `step` of `steps`, from 0 before the first to `steps` after the last."""

    step: int
    steps: int

    @property
    def progress(self) -> float:
        """The share that is done."""
        return self.step / self.steps


def retrain(
    net: OnnxNet,
    samples: Samples,
    how: Retraining,
    *,
    seed: int,
    teacher: OnnxNet | None = None,
    trained: Mapping[str, Tensor] | None = None,
    substitutes: Substitutes = dict,
    before_step: Callable[[Moment], None] = lambda _moment: None,
    after_step: Callable[[Moment], None] = lambda _moment: None,
    progress: Progress = no_progress,
    label: str = "retraining",
) -> None:
    """Train `net` in place; it is left in eval mode.

    Args:
        net: with one output, scores by class along axis 1.
        samples: with labels where `how.alpha` is below 1 or there is no teacher.
        how: the settings.
        seed: of order and shifts.
        teacher: in eval mode; None: the labels alone, whatever `how.alpha` is.
        trained: what the optimiser moves, by any name; all weights that ask for gradients where None.
        substitutes: asked before every run.
        before_step: called before every step of the optimiser, for masks for instance.
        after_step: called after it.
        progress: opens the display.
        label: of the display, and of messages.

    Raises:
        DataUnusable: the samples do not fit the net or the teacher, are fewer than a batch needs, or lack labels that are needed.
        ModelUnusable: the net has several outputs, or its loss is no number any more.
    """
    steps_per_epoch, batch = _steps(net, teacher, samples, how)
    total = how.epochs * steps_per_epoch
    loss_of = _Loss(net, teacher, samples, how)
    moved = [tensor for tensor in (net.weights if trained is None else trained).values() if tensor.requires_grad]
    generator = torch.Generator().manual_seed(seed)
    with one_thread(seed), progress(label, total) as advance:
        optimiser = torch.optim.AdamW(moved, lr=how.learning_rate, weight_decay=how.weight_decay)
        step = 0
        net.train()
        for _ in range(how.epochs):
            order = torch.randperm(len(samples), generator=generator)[: steps_per_epoch * batch]
            for chosen in torch.split(order, batch):
                for group in optimiser.param_groups:
                    group["lr"] = how.learning_rate * _rate(step / total)
                before_step(Moment(step, total))
                optimiser.zero_grad()
                loss = loss_of(chosen, generator, substitutes())
                if not torch.isfinite(loss):
                    raise ModelUnusable(f"{label}: the loss is {loss.item()} after {step} steps; lower learning_rate")
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                step += 1
                after_step(Moment(step, total))
                advance(1)
        net.eval()


def batches(net: OnnxNet, samples: Samples, batch: int) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Inputs and labels in order, the net being asked in eval mode; what is left over of a batch comes too."""
    check_samples(net, samples)
    feeds, labels = feeds_of(samples), torch.from_numpy(samples.classes)
    for start in range(0, len(samples), batch):
        part = slice(start, start + batch)
        yield {name: values[part] for name, values in feeds.items()}, labels[part]


def scores(net: OnnxNet, feeds: Mapping[str, Tensor], instead: Mapping[str, Tensor] | None = None) -> Tensor:
    """The net's one output, [N, classes].

    Raises:
        ModelUnusable: it has several, or one of another shape.
    """
    outputs: list[Tensor] = list(net(feeds, instead=instead).values())
    if len(outputs) != 1 or outputs[0].ndim != 2:
        raise ModelUnusable(
            f"one output [N, classes] is needed, the model has {', '.join(p.name for p in net.outputs)}"
        )
    return outputs[0]


class _Loss:
    def __init__(self, net: OnnxNet, teacher: OnnxNet | None, samples: Samples, how: Retraining) -> None:
        self._net, self._teacher, self._how = net, teacher, how
        self._feeds = feeds_of(samples)
        self._alpha = 0.0 if teacher is None else how.alpha
        self._labels = torch.from_numpy(samples.classes) if self._alpha < 1 else None

    def __call__(self, chosen: Tensor, generator: torch.Generator, instead: Mapping[str, Tensor]) -> Tensor:
        feeds = {name: self._moved(values[chosen], generator) for name, values in self._feeds.items()}
        logits = scores(self._net, feeds, instead)
        loss = logits.new_zeros(())
        if self._labels is not None:
            loss = (1 - self._alpha) * label_loss(logits, self._labels[chosen])
        if self._teacher is not None and self._alpha:
            with torch.no_grad():
                wanted = scores(self._teacher, feeds)
            loss = loss + self._alpha * distillation_loss(logits, wanted, self._how.temperature)
        return loss

    def _moved(self, values: Tensor, generator: torch.Generator) -> Tensor:
        if values.ndim != _IMAGE_AXES or not values.is_floating_point():
            return values
        return shift(values, self._how.shift_pixels, generator).contiguous(memory_format=torch.channels_last)


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats, the mean over samples.

    Raises:
        DataUnusable: a label is no class of the model.
    """
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        raise DataUnusable(
            f"the samples have a label {low if low < 0 else high}, the model has {logits.shape[1]} classes"
        )
    return functional.cross_entropy(logits, labels)


def distillation_loss(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of softened scores, the mean over samples (Hinton et al., section 2)."""
    softened = functional.log_softmax(logits / temperature, 1)
    softly_wanted = functional.log_softmax(wanted / temperature, 1)
    divergence: Tensor = functional.kl_div(softened, softly_wanted, log_target=True, reduction="batchmean")
    return temperature * temperature * divergence


def _steps(net: OnnxNet, teacher: OnnxNet | None, samples: Samples, how: Retraining) -> tuple[int, int]:
    """Steps of an epoch, and samples of a step: a batch, or all where there are fewer."""
    check_samples(net, samples)
    if teacher is not None:
        check_samples(teacher, samples)
    if len(samples) < 2:
        raise DataUnusable("training needs at least two samples")
    batch = min(how.batch, len(samples))
    return len(samples) // batch, batch


def _rate(progress: float) -> float:
    return min(1.0, 20 * progress + 0.05) * 0.5 * (1 + math.cos(math.pi * progress))


@contextlib.contextmanager
def one_thread(seed: int) -> Iterator[None]:
    """Sums in a fixed order and chance from the seed, and the state of before afterwards."""
    with repeatable(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
