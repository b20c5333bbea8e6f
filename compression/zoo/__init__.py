"""The reference architectures of the papers, as torch modules that export to ONNX: `ZOO` by name.

Importing this imports no torch; building a net does. To add one: its module under `nets/`, its row in a module of rows,
and, for a new module of rows, one line below. `tests/compression/zoo` then builds, exports, checks and compares it.
"""

from compression.zoo.entry import NetShape, Paper, ZooEntry
from compression.zoo.large import LARGE
from compression.zoo.small import SMALL

__all__ = ["ZOO", "NetShape", "Paper", "ZooEntry"]

_ROWS: tuple[ZooEntry, ...] = (*LARGE, *SMALL)

ZOO: dict[str, ZooEntry] = {entry.name: entry for entry in _ROWS}
