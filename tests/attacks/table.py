"""The table of attacks in docs/attacks.md: `python -m tests.attacks.table` writes it, with `--check` it only says whether it is current.

Its rows are the tests: the marks `attack(name, did)` say what was tried and what the agent did, `bound` also for how long an attack that succeeds
does so. Whether a row is true is decided by its test.
"""

import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "attacks.md"
GENERATED = "<!-- what follows is written by `python -m tests.attacks.table` -->\n"
STOPPED = ("attack", "what the agent did", "test")
BOUNDED = ("attack", "what it achieves", "for how long", "test")


@dataclass(frozen=True, slots=True)
class Row:
    """One attack."""

    name: str
    did: str
    bound: str | None
    test: str


@dataclass(slots=True)
class Rows:
    """Collects, as a pytest plugin, the marks of all tests."""

    found: list[Row] = field(default_factory=list)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Read the marks; a mark of one parameter stands for its case."""
        for item in session.items:
            mark = item.get_closest_marker("attack")
            if mark is None:
                continue
            test = item.nodeid.rpartition("/")[2]
            row = Row(mark.args[0], mark.args[1], mark.kwargs.get("bound"), test)
            if mark in getattr(item, "function").pytestmark:  # noqa: B009 - the cases of a test with one mark are one row
                row = replace(row, test=test.partition("[")[0])
            if row not in self.found:
                self.found.append(row)


def collect() -> list[Row]:
    """The rows, sorted as the files and tests are named in them."""
    rows = Rows()
    with redirect_stdout(StringIO()) as said:
        code = pytest.main([str(Path(__file__).parent), "--collect-only", "-q", "-p", "no:randomly"], plugins=[rows])
    if code:
        raise SystemExit(f"the attack tests could not be collected: {said.getvalue()}")
    return rows.found


def text(rows: Iterable[Row]) -> str:
    """Both tables."""
    rows = list(rows)
    stopped = [(row.name, row.did, f"`{row.test}`") for row in rows if row.bound is None]
    bounded = [(row.name, row.did, row.bound, f"`{row.test}`") for row in rows if row.bound is not None]
    return "\n".join(
        [
            f"{len(stopped)} attacks do not succeed:\n",
            *_table(STOPPED, stopped),
            f"\n{len(bounded)} attacks succeed within a bound, which their tests measure:\n",
            *_table(BOUNDED, bounded),
            "",
        ]
    )


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (headings, ("---",) * len(headings), *rows)]


def renewed(page: str, rows: Iterable[Row]) -> str:
    """The page with its generated part as it should be."""
    written, mark, _ = page.partition(GENERATED)
    return f"{written}{mark or GENERATED}\n{text(rows)}"


def main() -> int:
    """Write the table, or say whether it is current; the exit code."""
    page = PAGE.read_text(encoding="utf-8")
    wanted = renewed(page, collect())
    if page == wanted:
        return 0
    if "--check" in sys.argv:
        sys.stderr.write(f"{PAGE} is not current: run `python -m tests.attacks.table`\n")
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
