"""Chosen points of a study as draft versions, and the study's document, on the server."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from client.errors import LocalFileError
from client.files import require_file, sha256_of
from compression.datasets import Samples
from compression.errors import StudyUnusable
from compression.evaluation import predict_classes
from compression.provenance import SCHEMA as RECIPE_SCHEMA
from compression.study.document import LIMIT_BYTES, document_text, knee_number
from compression.study.kept import point_file
from compression.study.spec import StudySpec


@dataclass(frozen=True, slots=True)
class Chosen:
    """A point that is to be published: its file, what it is right about, measured on that file now, and how it was made."""

    number: int
    file: Path
    variant: str
    evaluations: Sequence[Mapping[str, Any]]
    recipe: Mapping[str, Any]


def choose(spec: StudySpec, document: Mapping[str, Any], numbers: Sequence[int]) -> list[int]:
    """The points with these numbers, or the knee of the front where there are none.

    Raises:
        StudyUnusable: there is no such point, it has no file, or nothing is within the budgets.
    """
    if not numbers:
        knee = knee_number(spec, document)
        if knee is None:
            raise StudyUnusable(f"study {spec.name!r} has no point within its budgets; choose one with --point")
        return [knee]
    states = {point["number"]: point["state"] for point in document["points"]}
    for number in numbers:
        if states.get(number) != "complete":
            raise StudyUnusable(f"point {number} is not complete: {states.get(number, 'there is none')}")
    return list(dict.fromkeys(numbers))


def chosen_point(spec: StudySpec, document: Mapping[str, Any], number: int, out: Path, samples: Samples) -> Chosen:
    """The point's file, measured on `samples`.

    Raises:
        LocalFileError: its file is not in `out`, e.g. because another machine made it, or is another one.
        DataUnusable: the samples do not fit it.
    """
    (point,) = (point for point in document["points"] if point["number"] == number)
    file = require_file(point_file(out, number))
    if (found := sha256_of(file)) != point["sha256"]:
        raise LocalFileError(f"{file}: expected the file with sha256 {point['sha256']}, got {found}")
    answers = predict_classes(file, samples)
    low, high = answers.ci95
    evaluation = {
        "metric": "accuracy",
        "value": answers.accuracy,
        "sample_count": answers.n,
        "dataset_sha256": answers.dataset_sha256,
        "ci_low": low,
        "ci_high": high,
        "measured_by": f"onnxruntime {onnxruntime.__version__} CPU",
    }
    return Chosen(number, file, f"point-{number}", [evaluation], recipe_of(spec, document, point))


def recipe_of(spec: StudySpec, document: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """How the point's file was made, as `compression.provenance` says it of other variants; it began with no file."""
    design = spec.space.design(point["parameters"])
    net = {"family": spec.space.family, **dataclasses.asdict(design.net), **dataclasses.asdict(spec.training)}
    facts = {"study": spec.name, "point": point["number"], "training_s": point["metrics"]["training_s"]}
    return {
        "schema": RECIPE_SCHEMA,
        "recipe": spec.document,
        "seed": spec.seed,
        "source_sha256": None,
        "dataset_sha256": document["dataset_sha256"],
        "versions": document["versions"],
        "machine": point["machine"],
        "steps": [
            {"do": "train", "options": net, "facts": facts},
            *({"do": do, "options": dataclasses.asdict(step), "facts": {}} for do, step in design.steps),
        ],
    }


def require_storable(document: Mapping[str, Any]) -> None:
    """Look whether the server will take the document.

    Raises:
        StudyUnusable: it is too large.
    """
    size = len(document_text(document).encode())
    if size > LIMIT_BYTES:
        raise StudyUnusable(f"the document has {size:,} bytes, at most {LIMIT_BYTES:,} are stored")
