"""The committed models of the demo, and publishing them by the command line as a CI would."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

FOLDER = Path(str(files("client"))) / "demo_data"
LINE = "digits"


@dataclass(frozen=True, slots=True)
class DemoModel:
    """One committed model file."""

    version: str
    variant: str

    @property
    def file(self) -> Path:
        """The ONNX file."""
        return FOLDER / f"{LINE}-{self.version}-{self.variant}.onnx"

    @property
    def measured(self) -> dict[str, Any]:
        """What was measured of it when it was made: accuracy, interval, tolerances."""
        row: dict[str, Any] = _evaluations()["files"][self.file.name]
        return row

    def publish_arguments(self) -> list[str]:
        """The arguments of `smallfleet publish` for it."""
        measured = self.measured
        low, high = measured["ci95"]
        evaluation = {
            measured["metric"]: measured["value"],
            "n": measured["sample_count"],
            "dataset": measured["dataset_sha256"],
            "low": low,
            "high": high,
            "by": measured["measured_by"],
        }
        tolerances = {name: value for name, value in measured["tolerances"].items() if value is not None}
        names = ["--model", LINE, "--version", self.version, "--variant", self.variant]
        contract, samples = FOLDER / f"{LINE}.contract.json", FOLDER / f"{LINE}-{self.version}.samples.npz"
        shared = ["--contract", str(contract), "--samples", str(samples)]
        return [str(self.file), *names, *shared, "--evaluation", _pairs(evaluation), "--tolerance", _pairs(tolerances)]


MODELS = tuple(DemoModel(version, variant) for version in ("1.0.0", "1.1.0") for variant in ("fp32", "int8"))
# The rollouts, in their order: a first install, a fine-tune of every weight, the same net quantised.
STEPS = (DemoModel("1.0.0", "fp32"), DemoModel("1.1.0", "fp32"), DemoModel("1.1.0", "int8"))


@cache
def _evaluations() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / "digits.evaluations.json").read_text(encoding="utf-8"))
    return document


def _pairs(fields: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in fields.items())
