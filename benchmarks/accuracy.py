"""What a model file answers for every sample of a data set, and how much of it is right. Parent side."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import Limits, ask_child
from benchmarks.statistics import wilson_interval


@dataclass(frozen=True, slots=True)
class Predictions:
    """The class of highest score for each sample, beside the labels, if there are any. One data set gives one order.

    Attributes:
        dataset_sha256: of the npz that was read.
    """

    classes: tuple[int, ...]
    labels: tuple[int, ...] | None
    dataset_sha256: str

    @property
    def n(self) -> int:
        """How many samples."""
        return len(self.classes)

    @property
    def right(self) -> tuple[bool, ...]:
        """For each sample, whether the class is the label.

        Raises:
            ValueError: there are no labels.
        """
        if self.labels is None:
            raise ValueError("the samples have no labels")
        return tuple(said == label for said, label in zip(self.classes, self.labels, strict=True))

    @property
    def accuracy(self) -> float:
        """The share of right answers (top 1)."""
        return sum(self.right) / self.n

    @property
    def ci95(self) -> tuple[float, float]:
        """The Wilson interval of the accuracy."""
        return wilson_interval(sum(self.right), self.n)


def predict(
    model: Path,
    dataset: Path,
    *,
    intra_op: int = 1,
    timeout_s: float,
    memory_limit_bytes: int | None = None,
    nice: int = 0,
) -> Predictions:
    """Run every sample of `dataset` (an npz with `input:<name>` and, if any, `labels`) at batch 1.

    Session options are those of the timed runs: the code whose accuracy is claimed is the code that is timed.

    Raises:
        SamplesUnreadable: the model's outputs are no class scores.
        BenchmarkError: as `checks.check_samples`.
    """
    request = {"model": str(model.absolute()), "dataset": str(dataset.absolute()), "intra_op": intra_op}
    answer = ask_child("predict", request, limits=Limits(timeout_s, memory_limit_bytes, nice, intra_op))
    labels = answer["labels"]
    return Predictions(tuple(answer["classes"]), None if labels is None else tuple(labels), answer["dataset_sha256"])
