"""The schema of benchmark reports, as package data, and checking a report against it.

The schema says which fields there are, of what type and unit. One rule it cannot say is checked here: every null has a
reason under its JSON Pointer in `reasons`, and every reason a null. Unknown fields are allowed: readers ignore them.
"""

import json
import math
from functools import cache
from importlib import resources
from typing import Any

from benchmarks.errors import ReportInvalid
from benchmarks.report import leaves, null_pointers


@cache
def _schema_text() -> str:
    return resources.files(__package__).joinpath("bench-report-1.json").read_text(encoding="utf-8")


def report_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `bench-report/1`."""
    schema: dict[str, Any] = json.loads(_schema_text())
    return schema


@cache
def _validator() -> Any:
    """Of a count that is written 1.0, JSON Schema says that it is an integer; the ruler never wrote one, and nothing could be counted with it."""
    import jsonschema

    draft = jsonschema.Draft202012Validator
    types = draft.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    strict = jsonschema.validators.extend(draft, type_checker=types)  # type: ignore[no-untyped-call]
    schema = json.loads(_schema_text(), object_hook=_bounds_first)
    return strict(schema, format_checker=jsonschema.FormatChecker())


def _bounds_first(schema: dict[str, Any]) -> dict[str, Any]:
    """Keywords are looked at in their order: a list that is too long is refused before each of its items is looked at."""
    return dict(sorted(schema.items(), key=lambda entry: entry[0] not in {"maxItems", "maxProperties"}))


def validate(report: Any) -> None:
    """Check a report that came from outside. Needs `jsonschema`, which a device does not have.

    Raises:
        ReportInvalid: naming the first place that is wrong.
    """
    error = next(iter(_validator().iter_errors(report)), None)
    if error is not None:
        place = "/".join(["", *(str(part) for part in error.absolute_path)]) or "/"
        # It begins with the value, however long that is, and ends with what is wrong with it.
        raise ReportInvalid(f"{place}: {error.message[-200:]}")
    _refuse_unstorable(report)
    nulls, reasons = null_pointers(report), set(report["reasons"])
    if nulls != reasons:
        odd = min(nulls ^ reasons)
        raise ReportInvalid(f"{odd[:200]}: {'null without a reason' if odd in nulls else 'a reason without a null'}")


def _refuse_unstorable(report: Any) -> None:
    """Refuse what Python's JSON reader lets through and neither JSON nor a database can keep."""
    for pointer, value in leaves(report):
        if isinstance(value, float) and not math.isfinite(value):
            raise ReportInvalid(f"{pointer}: {value} is no JSON number")
        if "\0" in pointer or (isinstance(value, str) and "\0" in value):
            raise ReportInvalid(f"{pointer!r}: contains a NUL character")
