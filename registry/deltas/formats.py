"""What this server must know of the codec without importing it: that would cost each web process 30 MiB."""

import ast
from importlib.util import find_spec
from pathlib import Path


def _codec_constant(module: str, name: str) -> int:
    """The number that a module of the codec assigns to `name`, read from its source.

    Raises:
        LookupError: there is no such module or assignment.
    """
    package = find_spec("delta")  # the package alone imports nothing else
    if package is None or not package.submodule_search_locations:
        raise LookupError("the codec `delta` is not installed")
    path = Path(package.submodule_search_locations[0], *module.split(".")).with_suffix(".py")
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and [ast.unparse(target) for target in statement.targets] == [name]:
            return int(ast.literal_eval(statement.value))
    raise LookupError(f"{path} assigns nothing to {name}")


BUILT_FORMAT = _codec_constant("format", "FORMAT_VERSION")
"""Which patch format this server builds: `delta.format.FORMAT_VERSION`."""

MAX_EFFORT_BYTES = _codec_constant("encoder.effort", "MAX_BY_DEFAULT_BYTES")
"""Up to which size of the new file the encoder takes `max` by itself, and above which `fast`."""

EFFORTS = ("fast", "max")
"""`delta.encoder.effort.Effort`'s values, the least first; a test holds the two together."""


def less_than(effort: str) -> tuple[str, ...]:
    """The efforts that are less than this one."""
    return EFFORTS[: EFFORTS.index(effort)]


def default_effort(target_bytes: int) -> str:
    """What the encoder takes where nobody asks."""
    return "max" if target_bytes <= MAX_EFFORT_BYTES else "fast"
