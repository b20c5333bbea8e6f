"""Steps that take whole channels out. See `compression.channels`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compression.steps.keys import choice, number, whole
from compression.steps.retraining import Trains
from compression.steps.step import Workbench

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from compression.channels.binding import Binding


@dataclass(frozen=True, slots=True)
class Structured(Trains):
    """Removes whole channels, the least important first, and trains on: fewer multiplications, a really faster net."""

    macs: float = number(0.5, 0.001, 1, "share of the multiply-accumulates that is left")
    importance: str = choice(
        "taylor", ("taylor", "gamma", "l1"), "by what the loss would change, by the normalisation's scale, by magnitude"
    )
    multiple_of: int = whole(4, 1, 256, "layers keep a multiple of so many channels; processors like 4, 8 or 16")
    rounds: int = whole(2, 1, 100, "how often channels are removed; each is followed by its share of the training")
    taylor_samples: int = whole(512, 2, 1_000_000, 'training samples for importance "taylor"')

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Remove channels and train on, by turns."""
        from dataclasses import replace

        from compression.channels.binding import bind
        from compression.channels.budget import macs_of, within_macs
        from compression.onnx_files import read_model
        from compression.onnx_torch import OnnxNet
        from compression.retraining import retrain

        net, teacher = self.student_of(source, bench), self.teacher_of(source, bench)
        model = read_model(source)
        before = macs_of(model)
        epochs = [
            self.epochs * (turn + 1) // self.rounds - self.epochs * turn // self.rounds for turn in range(self.rounds)
        ]
        for turn, own_epochs in enumerate(epochs):
            binding = bind(model)
            # Each round leaves the same share of what the one before left.
            most = int(before * self.macs ** ((turn + 1) / self.rounds))
            importance = self._importance(model, binding, bench)
            net = OnnxNet(within_macs(model, binding, importance, most, multiple_of=self.multiple_of))
            if own_epochs:
                retrain(
                    net,
                    bench.training,
                    replace(self.retraining(), epochs=own_epochs),
                    seed=bench.seed + turn,
                    teacher=teacher,
                    progress=bench.progress,
                    label="structured",
                )
            net.write(target)
            model = read_model(target)
        return {"macs_before": before, "macs": macs_of(model), "channels_left": _widths(model)}

    def _importance(self, model: "ModelProto", binding: "Binding", bench: Workbench) -> dict[int, float]:
        from compression.channels import importance

        match self.importance:
            case "l1":
                return importance.by_magnitude(model, binding)
            case "gamma":
                return importance.by_scale(model, binding)
            case _:
                return importance.by_taylor(self._products(model, bench), binding)

    def _products(self, model: "ModelProto", bench: Workbench) -> "Iterator[dict[str, NDArray[np.float64]]]":
        """By batch, weights times gradients of the labels' loss."""
        from compression.onnx_torch import OnnxNet
        from compression.retraining import batches, label_loss, scores

        net = OnnxNet(model)
        for feeds, labels in batches(net, bench.training.first(self.taylor_samples), self.batch):
            net.zero_grad()
            label_loss(scores(net, feeds), labels).backward()  # type: ignore[no-untyped-call]
            yield {
                name: (weight.detach() * weight.grad).double().numpy()
                for name, weight in net.weights.items()
                if weight.grad is not None
            }


@dataclass(frozen=True, slots=True)
class Compact:
    """Removes channels that pruning left dead: nothing makes them, or nobody reads them. Answers stay the same."""

    def apply(self, source: Path, target: Path, bench: Workbench) -> Mapping[str, Any]:
        """Remove what is dead."""
        from compression.channels.dead import without_dead
        from compression.onnx_files import read_model, write_model

        smaller, count = without_dead(read_model(source))
        write_model(smaller, target)
        return {"channels_removed": count, "channels_left": _widths(smaller)}


def _widths(model: "ModelProto") -> dict[str, int]:
    from compression.channels.binding import bind

    return {layer.name: len(layer.ids) for layer in bind(model).layers}
