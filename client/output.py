"""What commands print: one JSON document, or a plain table."""

import json
from collections.abc import Iterable, Sequence
from typing import Any


def print_json(document: object) -> None:
    """One JSON document and a line end."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with aligned columns; numbers stand to the right, None is a dash."""
    print(format_table(headers, rows))


def format_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The text of `print_table`, without a last line end."""
    body = [list(row) for row in rows]
    cells = [[_cell(value) for value in row] for row in body]
    widths = [max(len(line[column]) for line in [list(headers), *cells]) for column in range(len(headers))]
    right = [
        bool(body) and all(isinstance(row[column], int | float | None) for row in body)
        for column in range(len(headers))
    ]

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
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
