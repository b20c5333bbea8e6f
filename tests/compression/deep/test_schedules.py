"""Schedules begin dense, never fall, and end at their sparsity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.deep.schedules import Schedule, cubic, rounds

SCHEDULES = [cubic, rounds(1), rounds(4)]
shares = st.floats(0, 1)


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(final=shares)
def test_schedule_at_its_end_is_at_its_sparsity(schedule: Schedule, final: float) -> None:
    assert schedule(1.0, final) == pytest.approx(final, abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(final=shares, moments=st.tuples(shares, shares))
def test_schedule_later_is_never_less_sparse(schedule: Schedule, final: float, moments: tuple[float, float]) -> None:
    early, late = sorted(moments)
    assert schedule(early, final) <= schedule(late, final) + 1e-12


def test_cubic_at_half_way_has_seven_eighths_of_its_sparsity() -> None:
    assert cubic(0.0, 0.8) == 0.0
    assert cubic(0.5, 0.8) == pytest.approx(0.7)


def test_rounds_each_leave_the_same_share_and_the_last_has_time_to_retrain() -> None:
    schedule = rounds(2)
    assert [schedule(moment, 0.75) for moment in (0.0, 0.49, 0.5, 0.99)] == pytest.approx([0.5, 0.5, 0.75, 0.75])


@pytest.mark.parametrize(("progress", "final"), [(-0.1, 0.5), (1.1, 0.5), (0.5, 1.1), (float("nan"), 0.5)])
def test_progress_or_sparsity_outside_of_its_range_is_refused(progress: float, final: float) -> None:
    for schedule in SCHEDULES:
        with pytest.raises(ValueError, match=r"not in 0\.\.1"):
            schedule(progress, final)


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="0 rounds"):
        rounds(0)
