"""JSON documents that are stored as they are said, recipes and studies: are they of their schema, and of bearable size? Pure.

Unknown keys are allowed, so that the documents may grow.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from registry.errors import DocumentInvalid, RecipeInvalid, StudyInvalid

MAX_RECIPE_BYTES = 64_000
MAX_STUDY_BYTES = 4_000_000
_SCHEMAS = Path(__file__).resolve().parent / "schemas"
_MOST_ERRORS = 20
# The escape of a NUL; behind an odd number of further backslashes it is text about one.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def canonical(document: Mapping[str, Any]) -> bytes:
    """The document's one form: UTF-8, keys in order, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(document: Mapping[str, Any]) -> str:
    """sha256 of the canonical form."""
    return hashlib.sha256(canonical(document)).hexdigest()


def check_recipe(document: Any) -> dict[str, Any]:
    """The recipe of a variant in its canonical form.

    Raises:
        RecipeInvalid: it is not of `smallfleet-recipe/1`, has a NUL, or is larger than 64 kB.
    """
    return _checked(document, "recipe-1.json", MAX_RECIPE_BYTES, RecipeInvalid)


def check_study(document: Any, *, name: str) -> dict[str, Any]:
    """The document of the study `name` in its canonical form.

    Raises:
        StudyInvalid: it is not of `smallfleet-study/1`, has another name, a NUL, one number for two points, or is larger than 4 MB.
    """
    study = _checked(document, "study-1.json", MAX_STUDY_BYTES, StudyInvalid)
    if study["name"] != name:
        raise StudyInvalid(f"the document is of the study {study['name']!r}, the address says {name!r}")
    numbers = [point["number"] for point in study["points"]]
    if len(set(numbers)) != len(numbers):
        raise StudyInvalid("two points have one number")
    return study


def _checked(document: Any, schema: str, limit_bytes: int, refusal: type[DocumentInvalid]) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise refusal(f"a JSON object is needed, this is {type(document).__name__}")
    encoded = canonical(document)
    if len(encoded) > limit_bytes:
        raise refusal(f"the document has {len(encoded):,} bytes, at most {limit_bytes:,} are stored")
    if _NUL.search(encoded):
        raise refusal("the document has a NUL character, which no JSON column holds")
    found = []
    for error in _validator(schema).iter_errors(document):
        found.append({"field": ".".join(map(str, error.absolute_path)), "message": error.message[:300]})
        if len(found) == _MOST_ERRORS:
            break
    if found:
        raise refusal(f"the document does not have the shape of smallfleet-{schema[:-7]}/1; see `errors`", errors=found)
    stored: dict[str, Any] = json.loads(encoded)
    return stored


@cache
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads((_SCHEMAS / schema).read_text(encoding="utf-8")))
