"""Comparing two models on the same samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paired import compare, mcnemar_p_value, paired_interval


def test_two_models_are_compared_sample_by_sample() -> None:
    labels = [0, 1, 2, 3, 4]
    found = compare([0, 1, 2, 9, 8], [0, 1, 7, 3, 9], labels)
    assert (found.gained, found.lost, found.difference) == (1, 1, 0.0)
    assert found.agreement == 2 / 5
    assert found.p_value == 1.0


def test_exact_p_value_is_the_binomials() -> None:
    # Two-sided binomial test of 2 in 12: 2 * (1 + 12 + 66) / 4096.
    assert mcnemar_p_value(10, 2) == pytest.approx(158 / 4096)
    assert mcnemar_p_value(2, 10) == mcnemar_p_value(10, 2)


def test_many_discordant_pairs_do_not_overflow() -> None:
    assert 0 < mcnemar_p_value(1100, 1000) < 0.05


def test_interval_of_equal_models_is_narrow_and_holds_zero() -> None:
    low, high = paired_interval(0, 0, 1000)
    assert -0.004 < low < 0 < high < 0.004


@given(gained=st.integers(0, 60), lost=st.integers(0, 60), same=st.integers(0, 500))
def test_interval_turns_with_the_models_and_stays_a_difference(gained: int, lost: int, same: int) -> None:
    n = max(1, gained + lost + same)
    low, high = paired_interval(gained, lost, n)
    assert -1 <= low <= high <= 1
    assert paired_interval(lost, gained, n) == pytest.approx((-high, -low))


def test_answers_for_other_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 3 answers for 3 labels"):
        compare([1, 2], [1, 2, 3], [1, 2, 3])
