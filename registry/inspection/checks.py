"""The server's side of the checks: which child, under which limits, and what its end means."""

import json
import threading
from pathlib import Path
from typing import Any

from django.conf import settings

from registry.children import ChildFailed, Limits, Reason, run_child
from registry.errors import ArtifactRefused, InspectionFailed, ModelInvalid, SampleSetInvalid

_CHILD = "registry.inspection"
_CHECKS_AT_ONCE = threading.BoundedSemaphore(2)
"""Per web process: each check may take memory of several times its file, and uploads can wait."""
_BASE_BYTES = 384 * 1024**2
_MODEL_TIMES = 2
"""The checker holds the file's bytes and its parsed form at once. Measured on 100 MB: 250 MiB at the peak, and on a graph of
50,000 nodes in 8 MB, whose parts take more room than their bytes: 280 MiB."""


def inspect_model(path: Path) -> dict[str, Any]:
    """Check a model and return its static cost (`benchmarks.static_cost.StaticCost.as_json`).

    Raises:
        ModelInvalid: it is no self-contained, valid ONNX file within the caps, or the check needs more memory than it may.
        InspectionFailed: the check itself could not be carried out.
    """
    memory_bytes = settings.SMALLFLEET_INSPECTION_MEMORY_BYTES or _BASE_BYTES + _MODEL_TIMES * path.stat().st_size
    return _inspect("model", path, memory_bytes, ModelInvalid)


def inspect_samples(path: Path) -> dict[str, Any]:
    """Check a sample set and return its arrays by name.

    Raises:
        SampleSetInvalid: it is none.
        InspectionFailed: the check itself could not be carried out.
    """
    return _inspect("sample-set", path, _BASE_BYTES, SampleSetInvalid)


def _inspect(kind: str, path: Path, memory_bytes: int, refusal: type[ArtifactRefused]) -> dict[str, Any]:
    limits = Limits(
        memory_bytes=memory_bytes,
        timeout_s=settings.SMALLFLEET_INSPECTION_TIMEOUT_S,
        sandbox_required=settings.SMALLFLEET_SANDBOX_REQUIRED,
    )
    try:
        with _CHECKS_AT_ONCE:
            answer = json.loads(run_child(_CHILD, [kind, str(path.resolve())], limits=limits))
    except ChildFailed as failed:
        if failed.reason is Reason.MEMORY:
            raise refusal(f"the check stopped: {failed}; a file of this size should need less") from failed
        raise InspectionFailed(
            f"the check stopped: {failed}; send the file again, or look at the server's load"
        ) from failed
    if "refused" in answer:
        raise refusal(answer["refused"])
    description: dict[str, Any] = answer["description"]
    return description
