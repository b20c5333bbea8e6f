"""Every key of a spec, from the code that reads it: what `smallfleet study keys` prints and docs/studies.md holds."""

import dataclasses
import typing
from collections.abc import Iterator

from compression.recipes.tables import shown, type_name
from compression.steps.keys import key_of
from compression.study.families import FAMILIES
from compression.study.spec import TABLES

_TITLES = {
    "": "at the top",
    "benchmark": "`[benchmark]`",
    "[objective]": "`[[objective]]`, at least one",
    "[budget]": "`[[budget]]`, any number",
    "space": "`[space]`",
    "[space.step]": "`[[space.step]]`, in order, beside the step's own keys (`smallfleet compress --list`)",
    "a range": "a range, in place of a value",
    "training": "`[training]`",
    "search": "`[search]`",
    "early_stop": "`[early_stop]`",
}


def reference() -> Iterator[str]:
    """Markdown: a table of keys for every table of a spec, and for every family's `[space.net]`."""
    for name, kind in TABLES.items():
        yield from _table(_TITLES[name], kind)
    for name, kind in FAMILIES.items():
        said = (kind.__doc__ or "").splitlines()[0].rstrip(".")
        yield from _table(f'`[space.net]` of `family = "{name}"`: {said[0].lower()}{said[1:]}', kind)


def _table(title: str, kind: type[typing.Any]) -> Iterator[str]:
    yield f"**{title[0].upper()}{title[1:]}**"
    yield from ("", "| key | value | without it | meaning |", "|---|---|---|---|")
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        key = key_of(field)
        value = key.expected() or type_name(hints[field.name])
        default = "" if field.default in {None, ""} else shown(field.default)
        yield f"| `{field.name}` | {value} | {default} | {key.meaning} |"
    yield ""
