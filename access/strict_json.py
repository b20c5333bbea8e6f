"""JSON by RFC 8259 and no further, as values that every database here can hold.

Refused is what readers disagree about or store wrongly: a key that stands twice in an object, NaN and Infinity, numbers beyond 64 bits or
beyond a double, text that is no Unicode, and nesting deeper than any document of ours.
"""

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

MAX_DEPTH = 32
_GREATEST, _LEAST = (1 << 63) - 1, -(1 << 63)
# An escaped surrogate; whether it stands alone is looked at only where one stands at all.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# What a number too large must have in it: 19 digits, or an exponent of three. Looked for first, because a hook for each number is slow.
_LARGE_NUMBER = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}")


class NotStrict(ValueError):
    """The bytes are no JSON, or JSON that is not taken; the message is meant for whoever sent it."""


def parse(encoded: bytes, *, refuses_surrogates: bool = True) -> Any:
    """The document as Python values.

    Raises:
        NotStrict: it is none, or holds what is refused.
    """
    has_large = _LARGE_NUMBER.search(encoded) is not None
    try:
        document = json.loads(
            encoded.decode(),
            parse_constant=_constant,
            object_pairs_hook=_object,
            parse_int=_integer if has_large else None,
            parse_float=_float if has_large else None,
        )
        if refuses_surrogates and _SURROGATE.search(encoded):
            json.dumps(document, ensure_ascii=False).encode()
    except NotStrict:
        raise
    except (UnicodeError, ValueError) as error:
        raise NotStrict(str(error)[:200]) from error
    except RecursionError as error:
        raise NotStrict(f"it is nested deeper than {MAX_DEPTH} levels") from error
    if encoded.count(b"[") + encoded.count(b"{") > MAX_DEPTH:
        _check_depth(document)
    return document


def _check_depth(document: Any) -> None:
    level = [document]
    for _depth in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _inner(outer) if isinstance(inner, dict | list)]
        if not level:
            return
    raise NotStrict(f"it is nested deeper than {MAX_DEPTH} levels")


def _inner(outer: Any) -> Any:
    if isinstance(outer, dict):
        return outer.values()
    return outer if isinstance(outer, list) else ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = Counter(key for key, _ in pairs)
        twice = next(key for key, times in seen.items() if times > 1)
        raise NotStrict(f"the key {twice[:100]!r} stands twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > 20 or not _LEAST <= int(digits) <= _GREATEST:
        raise NotStrict(f"{digits[:30]} is beyond 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotStrict(f"{digits[:30]} is beyond a double")
    return number


def _constant(name: str) -> NoReturn:
    raise NotStrict(f"{name} is no number of JSON")
