"""Hooks of schemathesis: every second generated path names what is there, so that not only 404 is seen."""

import ast
import functools
import json
import os
import threading
import zlib
from typing import Any

import schemathesis

KNOWN: dict[str, list[str]] = json.loads(os.environ["SMALLFLEET_TEST_KNOWN"])

# CPython 3.11 counts the depth of all threads' syntax trees in one number, and two threads that parse at once end in a SystemError
# (python/cpython#106905). Hypothesis parses in the threads of schemathesis, to print a strategy.
_parse = ast.parse
_parsing = threading.RLock()


@functools.wraps(_parse)
def _parse_alone(*args: Any, **kwargs: Any) -> Any:
    with _parsing:
        return _parse(*args, **kwargs)


ast.parse = _parse_alone


@schemathesis.hook
def map_path_parameters(
    context: schemathesis.HookContext, path_parameters: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Replace generated names by known ones; which, is told by what was generated, so a seed gives the same requests again."""
    if not path_parameters:
        return path_parameters
    chance = zlib.crc32(repr(sorted(path_parameters.items(), key=str)).encode(errors="replace"))
    if chance % 2:
        return path_parameters
    return {name: _one(KNOWN.get(name, [value]), chance) for name, value in path_parameters.items()}


def _one(values: list[Any], chance: int) -> Any:
    return values[chance // 2 % len(values)]
