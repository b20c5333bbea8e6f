"""The demo's models: where they lie, what was measured of them, and publishing one as a CI job does."""

import json
from pathlib import Path
from typing import Any

from client.stack import Stack

FOLDER = Path(__file__).resolve().parent.parent / "demo_data"
LINE = "digits"


def model_file(version: str, variant: str) -> Path:
    """The committed ONNX file."""
    return FOLDER / f"{LINE}-{version}-{variant}.onnx"


def measured(version: str, variant: str) -> dict[str, Any]:
    """The evaluation that the training script measured on that file."""
    evaluations: dict[str, dict[str, Any]] = json.loads((FOLDER / f"{LINE}.evaluations.json").read_text())["files"]
    return evaluations[model_file(version, variant).name]


def publish_demo_model(stack: Stack, version: str, variant: str) -> dict[str, Any]:
    """Publish one of the models by the command line; what the command printed."""
    figures = measured(version, variant)
    low, high = figures["ci95"]
    evaluation = f"accuracy={figures['value']},n={figures['sample_count']},dataset={figures['dataset_sha256']},low={low},high={high}"
    tolerance = ",".join(f"{key}={value}" for key, value in figures["tolerances"].items() if value is not None)
    published: dict[str, Any] = stack.cli_json(
        "publish", str(model_file(version, variant)), "--model", LINE, "--version", version, "--variant", variant, "--create-model",
        "--contract", str(FOLDER / f"{LINE}.contract.json"), "--samples", str(FOLDER / f"{LINE}-{version}.samples.npz"),
        "--evaluation", evaluation, "--tolerance", tolerance,
    )  # fmt: skip
    return published
