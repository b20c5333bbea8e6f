"""How a variant came to be: a JSON document "smallfleet-recipe/1" that is stored with it, so that it can be made again. No torch is imported.

Fields: schema; recipe (the TOML text that was read, or that says the same as the options of a command); seed; source_sha256 (of the ONNX file it
began with); dataset_sha256 (`Samples.sha256` of all samples, before the split); held_out (how many of them no step was given); versions; machine;
steps (in order, each with `do`, every option also where it is the default, and the facts it reported).
"""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from compression.datasets import Samples
from compression.errors import RecipeInvalid

SCHEMA = "smallfleet-recipe/1"
DOCUMENT_LIMIT_BYTES = 64_000
PACKAGES = ("smallfleet", "torch", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step that was taken.

    Attributes:
        options: every key with the value it had.
        facts: what the step found worth recording, as JSON has it.
    """

    do: str
    options: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)


def recipe_document(
    *,
    recipe: str,
    seed: int,
    source: Path,
    samples: Samples,
    held_out: int,
    steps: Sequence[StepRecord],
) -> dict[str, Any]:
    """The document of one variant, made from `source` on `samples`, of which `held_out` were kept from the steps.

    Raises:
        RecipeInvalid: it would be larger than what the registry stores with a variant.
    """
    document = {
        "schema": SCHEMA,
        "recipe": recipe,
        "seed": seed,
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "dataset_sha256": samples.sha256(),
        "held_out": held_out,
        "versions": versions(),
        "machine": machine(),
        "steps": [{"do": step.do, "options": dict(step.options), "facts": dict(step.facts)} for step in steps],
    }
    size = len(document_bytes(document))
    if size > DOCUMENT_LIMIT_BYTES:
        raise RecipeInvalid(f"the record of a variant has {size} bytes, at most {DOCUMENT_LIMIT_BYTES} are stored")
    return document


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """The document as it is written to a file; the same document gives the same bytes."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def versions() -> dict[str, str | None]:
    """Versions of what decides the bytes, by package; None where it is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def machine() -> str:
    """What kind of machine this is, for another may round differently in the last bit. No name and no address."""
    return f"{platform.system()} {platform.machine()}, {_processor()}"


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
