"""What commands print: one JSON document, or a plain table."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

# A quantity, with a unit or not, or none; no version and no digest.
NUMBER = re.compile(r"-|(<= )?\d[\d,]*(\.\d+)?( ?(%|ms))?")


def print_json(document: object) -> None:
    """One JSON document and a line end."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with aligned columns; numbers stand to the right, None is a dash."""
    print(format_table(headers, rows))


def format_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The text of `print_table`, without a last line end."""
    cells = [[_cell(value) for value in row] for row in rows]
    columns = range(len(headers))
    widths = [max(len(line[column]) for line in [list(headers), *cells]) for column in columns]
    right = [bool(cells) and all(NUMBER.fullmatch(row[column]) for row in cells) for column in columns]

    def line(values: Sequence[str]) -> str:
        padded = [
            value.rjust(width) if to_right else value.ljust(width)
            for value, width, to_right in zip(values, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(headers), line(["-" * width for width in widths]), *(line(row) for row in cells)])


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_text(value)
    return str(value)


def number_text(value: float) -> str:
    """A number for a person: whole ones to the last digit, others to six."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.6g}"
