"""The child: `python -m registry.inspection LIMITS KIND PATH`. Its answer is one JSON object on standard output.

`{"description": {...}}` or `{"refused": "why"}`. It ends by `_exit`, without the teardown of libraries.
"""

import json
import os
import sys
from typing import Any

from benchmarks.confine import confine


def main(told: str, kind: str, path: str) -> None:
    """Look at one file and say what it is."""
    confine(**json.loads(told))
    from pathlib import Path

    from registry.inspection.errors import FileRefused

    try:
        answer: dict[str, Any] = {"description": _describe(kind, Path(path))}
    except FileRefused as refused:
        answer = {"refused": str(refused)[:2000]}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)


def _describe(kind: str, path: Any) -> dict[str, Any]:
    if kind == "model":
        from registry.inspection.model import describe_model

        return describe_model(path)
    from registry.inspection.samples import describe_samples

    return describe_samples(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
