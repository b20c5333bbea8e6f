"""The child: `python -m registry.inspection LIMITS KIND PATH`. Its answer is one JSON object on standard output.

`{"description": {...}}` or `{"refused": "why"}`. It ends by `_exit`, without the teardown of libraries.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from registry.children import limit_itself, shut_in


def main(told: str, kind: str, path: str) -> None:
    """Look at one file and say what it is."""
    limit_itself(told)
    from pathlib import Path

    from registry.inspection.errors import FileRefused

    describe = _describer(kind)
    shut_in(told, readable=[Path(path)])
    try:
        answer: dict[str, Any] = {"description": describe(Path(path))}
    except FileRefused as refused:
        answer = {"refused": str(refused)[:2000]}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)


def _describer(kind: str) -> Callable[[Any], dict[str, Any]]:
    """What describes files of this kind, with everything it imports."""
    if kind == "model":
        from registry.inspection.model import describe_model

        return describe_model
    from registry.inspection.samples import describe_samples

    return describe_samples


if __name__ == "__main__":
    main(*sys.argv[1:])
