"""The children that run the codec: `python -m registry.deltas.child LIMITS make|verify ...`. JSON on standard output.

`make BASE TARGET PATCH EFFORT` encodes, with an empty EFFORT as hard as the encoder does by itself; `verify BASE PATCH`
decodes in the limits that every device has and says what came of it. BASE is `-` for none. They are two children so that
what proves a patch shares no memory with what made it.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from registry.children import limit_itself, shut_in


def main(told: str, task: str, *arguments: str) -> None:
    """Do one task."""
    limit_itself(told)
    answer = _make(told, *arguments) if task == "make" else _verify(told, *arguments)
    sys.stdout.write(json.dumps(answer))


def _make(told: str, base: str, target: str, patch: str, effort: str) -> dict[str, Any]:
    from delta.encoder import Effort, encode

    shut_in(told, readable=_files(base, target), writable=[Path(patch).parent])
    report = encode(_path(base), Path(target), Path(patch), effort=Effort(effort) if effort else None)
    return {"effort": str(report.effort)}


def _verify(told: str, base: str, patch: str) -> dict[str, Any]:
    from delta import decoder

    shut_in(told, readable=_files(base, patch))
    info = decoder.read_info(Path(patch))
    decoder.verify(_path(base), Path(patch))
    with Path(patch).open("rb") as file:
        patch_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "format": info.format_version,
        "base_sha256": info.base.sha256 if info.base else None,
        "target_sha256": info.target.sha256,
        "sha256": patch_sha256,
        "size_bytes": info.patch_bytes,
    }


def _files(*arguments: str) -> list[Path]:
    return [path for path in map(_path, arguments) if path is not None]


def _path(argument: str) -> Path | None:
    return None if argument == "-" else Path(argument)


if __name__ == "__main__":
    main(*sys.argv[1:])
