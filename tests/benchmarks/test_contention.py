"""The command that shows contention in reports: its loops end, and it tells right from wrong."""

import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load.contention import Trial, busy_loops, row


def _children() -> set[str]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {child for task in tasks for child in (task / "children").read_text().split()}


def test_loops_run_as_long_as_the_context_lasts() -> None:
    before = _children()
    with busy_loops(2):
        assert len(_children() - before) == 2
    assert _children() <= before


def test_loops_end_when_the_context_fails() -> None:
    before = _children()
    with pytest.raises(ZeroDivisionError), busy_loops(2):
        _ = 1 // len(())
    assert _children() <= before


def _trial(state: str, *, contended: bool) -> Trial:
    report: dict[str, Any] = {
        "latency": {"p50": 46_500},
        "contention": {"cpu_share": 0.5, "run_delay_share": 0.49, "psi_some_share": None},
        "validity": {"state": state, "flags": [{"id": "n_p90", "ok": True}, {"id": "cpu_share", "ok": False}]},
    }
    return Trial(contended, 0.25, report)


@pytest.mark.parametrize(
    ("state", "contended", "right"),
    [
        ("valid", False, True),
        ("semivalid", False, False),
        ("invalid", False, False),
        ("invalid", True, True),
        ("semivalid", True, False),
    ],
)
def test_quiet_reports_must_be_valid_and_contended_ones_invalid(state: str, *, contended: bool, right: bool) -> None:
    assert _trial(state, contended=contended).is_right is right


def test_row_shows_the_evidence_and_the_rules() -> None:
    assert row(_trial("invalid", contended=True)) == (
        "| 2 busy loops | 0.25 | 46.5 us | 0.500 | 0.490 | unknown | invalid | cpu_share |"
    )
