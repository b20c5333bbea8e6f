"""Which patch formats this device reads: what its decoder reads, taken from that one's source.

The daemon imports no numpy, and so not the decoder, which runs in a child that ends after each patch.
"""

import ast
from importlib.util import find_spec
from pathlib import Path


def _readable_versions() -> tuple[int, ...]:
    """`delta.format.READABLE_VERSIONS`.

    Raises:
        LookupError: the decoder is not installed, or assigns no such name.
    """
    package = find_spec("delta")  # the package alone imports nothing else
    if package is None or not package.submodule_search_locations:
        raise LookupError("the decoder `delta` is not installed")
    source = Path(package.submodule_search_locations[0], "format.py")
    for statement in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "READABLE_VERSIONS":
            return tuple(ast.literal_eval(statement.value))
    raise LookupError(f"{source} assigns nothing to READABLE_VERSIONS")


PATCH_FORMATS = _readable_versions()
