"""Files made step by step and kept under what they were made from, so that a run that was cut off goes on where it was."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy import Predictions
from benchmarks.peers.deep_compression.parts import Parts, Weights, parts_of, weights_of
from compression.datasets import Samples
from compression.evaluation import predict_classes
from compression.steps import STEPS, Workbench


@dataclass(frozen=True, slots=True)
class Made:
    """A file, the seconds of one core that it took from the original on, and what its steps recorded."""

    path: Path
    cpu_s: float
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """A file as it is shipped: sizes, and what it answers for the held-out samples."""

    made: Made
    file_bytes: int
    parts: Parts
    weights: Weights
    classes: tuple[int, ...]
    accuracy: float
    ci95: tuple[float, float]


class TimeIsUp(Exception):
    """The next file would be begun after the time that was given; another run goes on."""


class Workshop:
    """Makes and keeps; `training` is for the steps, `held_out` for measuring alone. After `seconds` nothing new is begun."""

    def __init__(
        self, folder: Path, training: Samples, held_out: Samples, *, seed: int, seconds: float = float("inf")
    ) -> None:
        self._ends_at = time.monotonic() + seconds
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.training = training
        self.held_out = held_out
        self._seed = seed

    def make(
        self, name: str, recipe: object, make: Callable[[Path], Mapping[str, Any]], before: Made | None = None
    ) -> Made:
        """The file that `make` writes, or wrote in an earlier run by the same recipe from the same file."""
        source = None if before is None else _sha256(before.path)
        identity = json.dumps([name, recipe, source, self.training.sha256(), self._seed], default=repr, sort_keys=True)
        path = self.folder / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.onnx"
        record = path.with_suffix(".json")
        if not record.exists():
            if time.monotonic() > self._ends_at:
                raise TimeIsUp(name)
            print(f"{name} ...", flush=True)
            started = time.process_time()
            facts = make(path)
            written = {"cpu_s": time.process_time() - started, "facts": facts}
            record.write_text(json.dumps(written), encoding="utf-8")
        kept = json.loads(record.read_text(encoding="utf-8"))
        return Made(path, kept["cpu_s"] + (before.cpu_s if before else 0.0), kept["facts"])

    def step(self, name: str, do: str, keys: Mapping[str, Any], source: Made, *, teacher: Made | None = None) -> Made:
        """One step of a recipe."""
        bench = Workbench(self.training, self.held_out, self._seed, teacher=teacher.path if teacher else None)
        return self.make(
            name, [do, keys], lambda target: STEPS[do](**keys).apply(source.path, target, bench), before=source
        )

    def measure(self, made: Made) -> Measured:
        """Pack it and ask it; once for each file."""
        kept = made.path.with_suffix(".measured.json")
        if not kept.exists():
            found = predict_classes(made.path, self.held_out)
            parts, weights = parts_of(made.path), weights_of(made.path)
            document = {"predictions": asdict(found), "parts": asdict(parts), "weights": asdict(weights)}
            kept.write_text(json.dumps(document), encoding="utf-8")
        document = json.loads(kept.read_text(encoding="utf-8"))
        asked = document["predictions"]
        predictions = Predictions(tuple(asked["classes"]), tuple(asked["labels"]), asked["dataset_sha256"])
        return Measured(
            made,
            made.path.stat().st_size,
            Parts(**document["parts"]),
            Weights(**document["weights"]),
            predictions.classes,
            predictions.accuracy,
            predictions.ci95,
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
