"""The reference of recipes as a part of docs/compression.md: `python -m compression.recipes.reference docs/compression.md` writes it. No torch."""

import dataclasses
import sys
import typing
from pathlib import Path
from typing import Any

from compression.pages import Section
from compression.recipes.recipe import Head, PlannedVariant, Split, StepHead
from compression.recipes.tables import TableType, shown, type_name
from compression.steps import STEPS
from compression.steps.keys import key_of

SECTION = Section("<!-- keys: begin -->", "<!-- keys: end -->")


@dataclasses.dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as people read of it; `default` as Python has it, `allowed` in words."""

    key: str
    type: str
    default: Any
    allowed: str
    meaning: str


def key_rows(kind: type[TableType]) -> list[KeyRow]:
    """Every key of a table, in order."""
    hints = typing.get_type_hints(kind)
    rows = []
    for field in dataclasses.fields(kind):
        default = field.default if field.default is not dataclasses.MISSING else {}
        key = key_of(field)
        value = list(default) if isinstance(default, tuple) else default
        rows.append(KeyRow(field.name, type_name(hints[field.name]), value, key.expected(), key.meaning))
    return rows


def step_summary(name: str) -> str:
    """What a step does, in one line."""
    return (STEPS[name].__doc__ or "").strip().splitlines()[0]


def reference() -> str:
    """All tables of a recipe, in Markdown."""
    parts = ["### Beside the tables", *_table(Head)]
    parts += ["", "### `[split]`", *_table(Split)]
    parts += ["", "### `[[step]]`: of every step", *_table(StepHead)]
    parts += ["", "### `[[variant]]`", *_table(PlannedVariant)]
    for name, kind in STEPS.items():
        parts += ["", f'### `do = "{name}"`', "", step_summary(name)]
        parts += _table(kind) if dataclasses.fields(kind) else ["", "It has no keys of its own."]
    return "\n".join(parts)


def put_reference(document: str) -> str:
    """The document with today's reference between its markers.

    Raises:
        ValueError: it has no markers.
    """
    return SECTION.put(document, reference())


def _table(kind: type[TableType]) -> list[str]:
    lines = ["", "| key | type | default | |", "|---|---|---|---|"]
    for row in key_rows(kind):
        default = "" if row.default in (None, "", {}) else f"`{shown(row.default)}`"
        allowed = f" ({row.allowed})" if row.allowed else ""
        lines.append(f"| `{row.key}` | {row.type}{allowed} | {default} | {row.meaning} |")
    return lines


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(put_reference(page.read_text(encoding="utf-8")), encoding="utf-8")
