"""Top-1 accuracy of a model file on a labelled data set. Parent side."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import Limits, ask_child


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The share of samples whose highest score is the label, with its Wilson 95 % interval."""

    value: float
    n: int
    ci95: tuple[float, float]
    dataset_sha256: str
    metric: str = "top1"


def measure_accuracy(
    model: Path,
    dataset: Path,
    *,
    intra_op: int = 1,
    timeout_s: float,
    memory_limit_bytes: int | None = None,
    nice: int = 0,
) -> Accuracy:
    """Run every sample of `dataset` (an npz with `input:<name>` and `labels`) at batch 1 and count the right ones.

    Session options are those of the timed runs: the code whose accuracy is claimed is the code that is timed.

    Raises:
        SamplesUnreadable: no labels, or the model's outputs are no class scores.
        BenchmarkError: as `checks.check_samples`.
    """
    request = {"model": str(model.absolute()), "dataset": str(dataset.absolute()), "intra_op": intra_op}
    answer = ask_child("accuracy", request, limits=Limits(timeout_s, memory_limit_bytes, nice, intra_op))
    low, high = answer["accuracy_ci95"]
    return Accuracy(answer["accuracy"], answer["n"], (low, high), answer["dataset_sha256"])
