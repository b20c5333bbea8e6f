"""The keys that every step has that trains on, and the step that does nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compression.steps.keys import choice, number, whole
from compression.steps.step import Workbench

if TYPE_CHECKING:
    from compression.onnx_torch import OnnxNet
    from compression.retraining import Retraining

TEACHERS = ("auto", "source", "given", "none")


@dataclass(frozen=True, slots=True)
class Trains:
    """What is common to all steps that train on."""

    epochs: int = whole(8, 0, 10_000, "passes over the training samples")
    learning_rate: float = number(1e-3, 0, 1, "of Adam at its height; falls to zero by a half cosine")
    batch: int = whole(64, 2, 65_536, "samples per step")
    shift_pixels: float = number(0.0, 0, 64, "images are moved and turned about by up to so many pixels")
    alpha: float = number(0.9, 0, 1, "the teacher's share of the loss, the rest is the labels'; 1 needs no labels")
    temperature: float = number(3.0, 0.1, 100, "what logits are divided by before they are compared with the teacher's")
    teacher: str = choice(
        "auto",
        TEACHERS,
        "source: the net before this step; given: --teacher FILE; auto: given if there is one, else source",
    )

    def retraining(self) -> "Retraining":
        """These keys as the training loop takes them."""
        from compression.retraining import Retraining

        return Retraining(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch=self.batch,
            shift_pixels=self.shift_pixels,
            alpha=self.alpha,
            temperature=self.temperature,
        )

    def teacher_of(self, source: Path, bench: Workbench) -> "OnnxNet | None":
        """The net that teaches, if any does."""
        from compression.onnx_torch import load_net

        if self.teacher == "none":
            return None
        if self.teacher == "given":
            return load_net(bench.require_teacher())
        return load_net(source if self.teacher == "source" or bench.teacher is None else bench.teacher)

    def student_of(self, source: Path, bench: Workbench) -> "OnnxNet":
        """The net that is trained on; the samples fit it.

        Raises:
            ModelUnusable: it cannot be run here, or has nothing to train.
            DataUnusable: the samples do not fit.
        """
        from compression.errors import ModelUnusable
        from compression.onnx_torch import check_samples, load_net

        net = load_net(source)
        if not any(weight.requires_grad for weight in net.weights.values()):
            raise ModelUnusable("the model has no weights that could be trained")
        check_samples(net, bench.training)
        return net


@dataclass(frozen=True, slots=True)
class Finetune(Trains):
    """Trains on, with labels and, where one is given, a teacher."""

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Train on."""
        from compression.retraining import retrain

        net = self.student_of(source, bench)
        # A net that is its own teacher learns nothing from it.
        teacher = self.teacher_of(source, bench) if self.teacher != "auto" or bench.teacher is not None else None
        retrain(
            net,
            bench.training,
            self.retraining(),
            seed=bench.seed,
            teacher=teacher,
            progress=bench.progress,
            label="finetune",
        )
        net.write(target)
        return {}


@dataclass(frozen=True, slots=True)
class Distil(Trains):
    """Trains the net to answer as a larger one does (Hinton et al., arXiv:1503.02531); labels are optional."""

    teacher: str = choice("given", ("given",), "given: --teacher FILE")

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Distil."""
        from compression.retraining import retrain

        net = self.student_of(source, bench)
        retrain(
            net,
            bench.training,
            self.retraining(),
            seed=bench.seed,
            teacher=self.teacher_of(source, bench),
            progress=bench.progress,
            label="distil",
        )
        net.write(target)
        return {}
