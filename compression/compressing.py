"""Carrying a recipe out: steps from file to file, then every variant measured by the ruler on samples that no step was given.

Nothing here trains or imports torch; the steps do. What a variant is said to be worth is measured on the very file that is kept.
"""

import dataclasses
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from benchmarks.accuracy import Predictions
from benchmarks.paired import Paired, compare
from client.errors import LocalFileError
from client.files import write_whole
from compression.datasets import NAMED, Samples, load_samples, split_for
from compression.errors import AccuracyLost, ExportMismatch
from compression.evaluation import predict_classes
from compression.progress import Progress, no_progress
from compression.provenance import StepRecord, document_bytes, recipe_document
from compression.quantisation.checks import read_model, require_fit
from compression.rate import delta_bytes, packed_bytes
from compression.recipes import SOURCE, PlannedVariant, Recipe
from compression.steps import Workbench


@dataclass(frozen=True, slots=True)
class Made:
    """A file that was measured: the source, or a variant.

    Attributes:
        delta_bytes: of the patch from the file that devices hold, where one was given.
        against_source: None for the source itself.
        record: the document "smallfleet-recipe/1"; None for the source.
        refused: why it does not hold what its recipe asks; empty: it does.
    """

    name: str
    path: Path
    size_bytes: int
    packed_bytes: int
    delta_bytes: int | None
    found: Predictions
    against_source: Paired | None
    record: Mapping[str, Any] | None
    tolerances: Mapping[str, float]
    refused: str = ""

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def evaluations(self) -> list[dict[str, Any]]:
        """As the registry's Evaluation has them: accuracy, and agreement with the source."""
        rows = [("accuracy", self.found.accuracy, self.found.ci95)]
        if self.against_source:
            rows.append(
                ("agreement", self.against_source.agreement, self.against_source.agreement_ci95),
            )
        return [
            {
                "metric": metric,
                "value": value,
                "sample_count": self.found.n,
                "dataset_sha256": self.found.dataset_sha256,
                "ci_low": low,
                "ci_high": high,
                "measured_by": f"onnxruntime {onnxruntime.__version__} CPU",
            }
            for metric, value, (low, high) in rows
        ]


@dataclass(frozen=True, slots=True)
class Compressed:
    """What came of a recipe: the source as it was measured, and the variants in the recipe's order."""

    source: Made
    variants: Sequence[Made]

    def require_kept(self) -> None:
        """Refuse the whole when a variant does not hold what its recipe asks.

        Raises:
            AccuracyLost: the message names every such variant.
        """
        refused = [f"{variant.name}: {variant.refused}" for variant in self.variants if variant.refused]
        if refused:
            raise AccuracyLost("; ".join(refused))


def compress(
    model: Path,
    recipe: Recipe,
    data: str,
    out: Path,
    *,
    teacher: Path | None = None,
    held: Path | None = None,
    progress: Progress = no_progress,
) -> Compressed:
    """Carry `recipe` out on `model` with the samples that `data` names; write `<model>-<variant>.onnx` and `.recipe.json` into `out`.

    A variant that lost too much is written and measured as well, and marked.

    Raises:
        ModelUnusable, DataUnusable: the model or the samples cannot be used, or do not fit each other.
        RecipeInvalid: a step needs a file that was not given.
        ExportMismatch: a step wrote a file with other inputs or outputs.
        LocalFileError: a variant would take the place of a file that it is made from or compared with.
    """
    targets = {variant.name: out / f"{model.stem}-{variant.name}.onnx" for variant in recipe.variants}
    _require_apart(targets, (model, teacher, held))
    checked = read_model(model)
    for other in (teacher, held):
        if other is not None:
            read_model(other)
    samples = samples_for(model, checked, data)
    training, held_out = split_for(samples, held_out=recipe.split.held_out, seed=recipe.split.seed)
    bench = Workbench(training, held_out, recipe.seed, progress, teacher, held)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        files, facts = _take_steps(model, recipe, bench, Path(folder))
        with progress("measure", len(recipe.variants) + 1) as advance:
            source = _measure("source", model, held_out, held)
            advance(1)
            made = []
            for variant in recipe.variants:
                path = targets[variant.name]
                write_whole(path, files[variant.of].read_bytes())
                records = [
                    StepRecord(step.do, step.options() | {"source": step.source}, facts[step.name])
                    for step in recipe.chain(variant.of)
                ]
                record = recipe_document(
                    recipe=recipe.document,
                    seed=recipe.seed,
                    source=model,
                    samples=samples,
                    held_out=len(held_out),
                    steps=records,
                )
                write_whole(path.with_suffix(".recipe.json"), document_bytes(record))
                made.append(
                    _judged(variant, _measure(variant.name, path, held_out, held, source=source, record=record), source)
                )
                advance(1)
    return Compressed(source, made)


def samples_for(path: Path, model: onnx.ModelProto, data: str) -> Samples:
    """The samples that `data` names, looked through for this model. Those of a named set take the name of the model's only input.

    Raises:
        DataUnusable: there are none, they have no labels, or do not fit; the message names input, type and shape.
    """
    samples = load_samples(data)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [port.name for port in model.graph.input if port.name not in constants]
    if data in NAMED and len(inputs) == 1:
        samples = samples.renamed(inputs[0])
    require_fit(path, model, samples)
    samples.classes  # noqa: B018 - without labels nothing can be measured
    return samples


def _require_apart(targets: Mapping[str, Path], given: Sequence[Path | None]) -> None:
    kept = {file.resolve() for file in given if file is not None}
    for name, target in targets.items():
        if target.resolve() in kept:
            raise LocalFileError(
                f"{target}: variant {name} would take the place of a file that was given; choose another folder"
            )


def _take_steps(
    model: Path, recipe: Recipe, bench: Workbench, folder: Path
) -> tuple[dict[str, Path], dict[str, Mapping[str, Any]]]:
    files, facts = {SOURCE: model}, {}
    needed = recipe.needed()
    with bench.progress("steps", len(needed)) as advance:
        for index, planned in enumerate(needed):
            target = folder / f"{index}.onnx"
            facts[planned.name] = planned.step.apply(files[planned.source], target, bench)
            require_same_ports(model, target, planned.name)
            files[planned.name] = target
            advance(1)
    return files, facts


def require_same_ports(source: Path, made: Path, name: str) -> None:
    """Refuse a file that is no valid ONNX, or that an application of `source` could not run.

    Raises:
        ExportMismatch: the message names the step and the input or output.
        ModelUnusable: it is no valid ONNX.
    """
    before, after = read_model(source).graph, read_model(made).graph
    for kind, old, new in (("input", before.input, after.input), ("output", before.output, after.output)):
        known = {tensor.name for tensor in (*before.initializer, *after.initializer)}
        wanted = {port.name: port.type.tensor_type.elem_type for port in old if port.name not in known}
        found = {port.name: port.type.tensor_type.elem_type for port in new if port.name not in known}
        if wanted != found:
            raise ExportMismatch(f"step {name}: the {kind}s were {wanted}, and became {found}")


def _measure(
    name: str,
    path: Path,
    held_out: Samples,
    held: Path | None,
    *,
    source: Made | None = None,
    record: Mapping[str, Any] | None = None,
) -> Made:
    found = predict_classes(path, held_out)
    return Made(
        name=name,
        path=path,
        size_bytes=path.stat().st_size,
        packed_bytes=packed_bytes(path),
        delta_bytes=None if held is None else delta_bytes(held, path),
        found=found,
        against_source=None if source is None else compare(found.classes, source.found.classes, found.labels or ()),
        record=record,
        tolerances={},
    )


def _judged(wanted: PlannedVariant, made: Made, source: Made) -> Made:
    # One division of whole numbers: of two samples in a hundred the loss is 0.02, which the difference of two accuracies is not always.
    lost, refused = (sum(source.found.right) - sum(made.found.right)) / source.found.n, ""
    if wanted.max_accuracy_loss is not None and lost > wanted.max_accuracy_loss:
        refused = (
            f"accuracy {made.found.accuracy:.4f}, {lost:.4f} less than the source's {source.found.accuracy:.4f}; "
            f"max_accuracy_loss is {wanted.max_accuracy_loss:g}"
        )
    return dataclasses.replace(made, tolerances=wanted.tolerances, refused=refused)
