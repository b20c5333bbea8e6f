"""Checking a model against a sample set, and its accuracy on a labelled one. Child side: requests and answers are JSON."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement import Agreement, golden_of, is_scores
from benchmarks.errors import SamplesUnreadable
from benchmarks.samples import SampleSet, read_samples
from benchmarks.session import Model, bind_shapes, open_model, random_feeds
from benchmarks.statistics import wilson_interval


def load_check(request: Mapping[str, Any]) -> dict[str, Any]:
    """Load the model and run one inference on generated inputs; say which outputs are not finite."""
    model = open_model(request["model"], intra_op=request["intra_op"])
    shapes = bind_shapes(model, request["shapes"])
    results = model.run(random_feeds(model, shapes, seed=request["seed"]))
    named = list(zip(model.output_names, results, strict=True))
    return {
        "input_shapes": {name: list(shape) for name, shape in shapes.items()},
        "output_shapes": {name: list(value.shape) for name, value in named if isinstance(value, np.ndarray)},
        "not_finite": [name for name, value in named if not _finite(value)],
    }


def _finite(value: Any) -> bool:
    return not isinstance(value, np.ndarray) or value.dtype.kind != "f" or bool(np.isfinite(value).all())


def check_samples(request: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the model with the golden outputs of its sample set."""
    model = open_model(request["model"], intra_op=request["intra_op"])
    samples = read_samples(Path(request["samples"]), model.inputs)
    ports = {"inputs": [port.name for port in model.inputs], "outputs": list(model.output_names)}
    return ports | check(model, samples, atol=request["atol"], rtol=request["rtol"])


def check(model: Model, samples: SampleSet, *, atol: float, rtol: float) -> dict[str, Any]:
    """Run every sample once and compare all golden outputs.

    Raises:
        SamplesUnreadable: there is no golden output, or one for an output that the model does not have.
    """
    strangers = sorted(set(samples.goldens) - set(model.output_names))
    if strangers or not samples.goldens:
        problem = f"golden outputs for {', '.join(strangers)}" if strangers else "no golden outputs"
        raise SamplesUnreadable(f"the set has {problem}; the model gives {', '.join(model.output_names)}")
    comparison = Agreement(atol, rtol)
    tally = Tally()
    for index in range(samples.n):
        results = dict(zip(model.output_names, model.run(samples.feeds(index, model.inputs)), strict=True))
        for name, golden in samples.goldens.items():
            comparison.compare(f"sample {index}, output {name}", results[name], golden_of(golden, index, results[name]))
        tally.take(results, samples, index)
    return {
        "n": samples.n,
        "max_abs_error": comparison.max_abs_error,
        "within_tolerance": comparison.within_tolerance,
        "failures": comparison.failures,
        **tally.figures(),
    }


@dataclass(slots=True)
class Tally:
    """How often the highest score is the golden one's, and how often it is the label."""

    scored: int = 0
    agreed: int = 0
    labelled: int = 0
    correct: int = 0

    def take(self, results: Mapping[str, Any], samples: SampleSet, index: int) -> None:
        """Take one sample's outputs; the first output that is class scores decides."""
        name = next((name for name, value in results.items() if is_scores(value)), None)
        if name is None:
            return
        choice = int(results[name].argmax())
        golden = samples.goldens.get(name)
        if golden is not None and golden[index].size == results[name].size:
            self.scored += 1
            self.agreed += choice == int(golden[index].argmax())
        if samples.labels is not None:
            self.labelled += 1
            self.correct += choice == int(samples.labels[index])

    def figures(self) -> dict[str, Any]:
        """Shares with the 95 % interval of the accuracy; None where nothing could be counted."""
        low, high = wilson_interval(self.correct, self.labelled)
        return {
            "agreement": self.agreed / self.scored if self.scored else None,
            "accuracy": self.correct / self.labelled if self.labelled else None,
            "accuracy_ci95": [low, high] if self.labelled else None,
        }


def score(model: Model, samples: SampleSet) -> dict[str, Any]:
    """Run every sample once and count agreement and accuracy only."""
    tally = Tally()
    for index in range(samples.n):
        outputs = model.run(samples.feeds(index, model.inputs))
        tally.take(dict(zip(model.output_names, outputs, strict=True)), samples, index)
    return tally.figures()


def predict(request: Mapping[str, Any]) -> dict[str, Any]:
    """The class of highest score for every sample of a data set, at batch 1.

    Raises:
        SamplesUnreadable: the outputs are no class scores, or a label is no class.
    """
    model = open_model(request["model"], intra_op=request["intra_op"])
    path = Path(request["dataset"])
    samples = read_samples(path, model.inputs)
    labels = None if samples.labels is None else samples.labels.tolist()
    classes = []
    for index in range(samples.n):
        scores = _scores(model.run(samples.feeds(index, model.inputs)))
        if labels is not None and not 0 <= labels[index] < scores.size:
            raise SamplesUnreadable(
                f"sample {index} has the label {labels[index]}, the model has {scores.size} classes"
            )
        classes.append(int(scores.argmax()))
    return {
        "classes": classes,
        "labels": labels,
        "dataset_sha256": file_sha256(path),
    }


def _scores(outputs: list[Any]) -> Any:
    scores = next((value for value in outputs if is_scores(value)), None)
    if scores is None:
        raise SamplesUnreadable("the model gives no class scores: no float output of shape [1, classes]")
    return scores


def file_sha256(path: Path) -> str:
    """The digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
