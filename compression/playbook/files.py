"""Pruning, shared weights, quantisation, distillation and coding (Iandola & Keutzer 2017, section 5.8), which work on the ONNX file.

They are the steps of recipes (`smallfleet compress`) and the codec, under the playbook's names; nothing of them is written twice.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from compression.rate import packed_bytes
from compression.recipes.tables import read_table
from compression.steps import STEPS, Workbench

STEP_OF: Mapping[str, str] = MappingProxyType(
    {
        "pruning": "prune",
        "weight sharing": "share",
        "quantisation": "static_int8",
        "quantisation, trained": "qat_int8",
        "half precision": "fp16",
        "distillation": "distil",
        "channel reduction of any graph": "structured",
    }
)
"""The step behind each move."""


def on_file(move: str, source: Path, target: Path, bench: Workbench, **options: Any) -> Mapping[str, Any]:
    """Write `target`, what the move makes of `source`, and give the facts worth recording.

    Section 5.8. With n weights of b bits: pruning to the share s leaves the file and its MACs as they are and s·n weights to send, each
    with its place; sharing leaves log2(k) bits a weight for k values a layer; int8 leaves n bytes and 4 a channel, and
    as many MACs, on integers; half precision 2·n bytes; distillation changes no count. What is really sent is `coded_bytes`.

    Args:
        move: a key of `STEP_OF`.
        source: an ONNX file.
        target: where to write.
        bench: samples, seed and, for distillation, the teacher.
        options: keys of the step's table in a recipe; its defaults where they are not given.

    Raises:
        KeyError: no such move.
        CompressionError: an option that does not exist or cannot be, or a model or data that cannot be worked on.
    """
    return read_table(STEPS[STEP_OF[move]], options, move).apply(source, target, bench)


def coded_bytes(path: Path) -> int:
    """Bytes of the file as the codec sends it to a device that holds nothing: section 5.8's coding, and Deep Compression's third stage."""
    return packed_bytes(path)
