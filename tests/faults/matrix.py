"""The fault matrix as a table: `python -m tests.faults.matrix [pytest options]` runs every fault test and counts its cases.

Each row is one kind of fault (`@pytest.mark.fault`), each case the real agent as a process of its own that meets it at one point. With
SMALLFLEET_TEST_ALL_POINTS=1 all points are gone through, otherwise a sample of them.
"""

import sys
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest

HEADINGS = ("fault", "tests", "cases", "passed", "failed", "seconds")


@dataclass(slots=True)
class Row:
    """What came of one kind of fault."""

    tests: int = 0
    cases: int = 0
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Matrix:
    """Collects, as a pytest plugin, what the tests of each fault did."""

    rows: dict[str, Row] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Count a test that ran, or one whose fixtures failed."""
        report = yield
        mark = item.get_closest_marker("fault")
        if mark is not None and (report.when == "call" or report.failed):
            self._count(str(mark.args[0]), report)
        return report

    def _count(self, fault: str, report: pytest.TestReport) -> None:
        told = dict(report.user_properties)
        row = self.rows.setdefault(fault, Row())
        row.tests += 1
        row.cases += int(str(told.get("cases", 1)))
        row.passed += report.passed
        row.failed += report.failed
        row.seconds += report.duration
        if "points" in told:
            self.points[fault] = max(self.points.get(fault, 0), int(str(told["points"])))

    def table(self) -> str:
        """The rows, their sum, and how many points the agent's own writing has."""
        lines = [HEADINGS, *((name, *_cells(row)) for name, row in sorted(self.rows.items()))]
        total = Row(*(sum(getattr(row, name) for row in self.rows.values()) for name in Row.__dataclass_fields__))
        lines.append(("all", *_cells(total)))
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
        shown = [
            "  ".join(
                cell.ljust(width) if index == 0 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        found = [f"N = {count} points in: {fault}" for fault, count in sorted(self.points.items())]
        return "\n".join([*shown, *found])


def _cells(row: Row) -> tuple[str, ...]:
    return str(row.tests), str(row.cases), str(row.passed), str(row.failed), f"{row.seconds:.1f}"


def main() -> int:
    """Run the tests and print the table; pytest's exit code."""
    matrix = Matrix()
    code = pytest.main(["tests/faults", "-q", *sys.argv[1:]], plugins=[matrix])
    print(matrix.table())  # noqa: T201 - the command's output
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
