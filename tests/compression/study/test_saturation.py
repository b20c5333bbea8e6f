"""Where more stops paying, as a pure function of scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from compression.study.saturation import holm, saturation_of_front, saturation_of_sweep

LEVELS = (1.0, 2.0, 3.0, 4.0)


def sweep(means: list[float], spread: float, blocks: int, seed: int = 0) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(0, spread, (blocks, len(means)))
    return np.asarray(means) + noise


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        pytest.param([0.80, 0.90, 0.95, 0.95], 3.0, id="a rise and a plateau"),
        pytest.param([0.95, 0.95, 0.95, 0.95], 1.0, id="flat from the start"),
        pytest.param([0.80, 0.85, 0.90, 0.95], None, id="still rising at the highest"),
        pytest.param([0.80, 0.95, 0.90, 0.85], 2.0, id="a peak, then worse"),
        pytest.param([0.90, 0.85, 0.95, 0.95], 3.0, id="a dip on the way does not end it"),
        pytest.param([0.900, 0.907, 0.914, 0.921], None, id="small steps that add up"),
    ],
)
def test_sweep_saturates_at_the_smallest_level_that_none_beats(means: list[float], expected: float | None) -> None:
    assert saturation_of_sweep(LEVELS, sweep(means, 0.001, 8)).saturates_at == expected


def test_steps_too_small_to_see_alone_are_seen_together() -> None:
    scores = sweep([0.90, 0.91, 0.92, 0.93], 0.012, 12, seed=4)
    neighbours = [stats.ttest_1samp(np.diff(scores)[:, i], 0, alternative="greater").pvalue for i in range(3)]
    assert max(holm(neighbours)) > 0.05
    assert saturation_of_sweep(LEVELS, scores).saturates_at != 1.0


def test_overlapping_folds_make_the_test_more_careful() -> None:
    scores = np.column_stack([np.zeros(5), [0.002, 0.013, 0.0, 0.010, 0.004]])
    apart, overlapping = (saturation_of_sweep((1.0, 2.0), scores, overlap=overlap) for overlap in (0.0, 0.25))
    assert (apart.saturates_at, overlapping.saturates_at) == (None, 1.0)
    assert overlapping.gain_left is not None
    assert overlapping.gain_left > (scores[:, 1] - scores[:, 0]).mean()


def test_two_blocks_are_too_few_to_test() -> None:
    found = saturation_of_sweep(LEVELS, sweep([0.1, 0.2, 0.3, 0.4], 0.001, 2))
    assert (found.saturates_at, found.p_value, found.blocks) == (None, None, 2)


def test_single_pair_agrees_with_the_paired_t_test() -> None:
    scores = sweep([0.9, 0.902], 0.004, 10)
    expected = stats.ttest_rel(scores[:, 1], scores[:, 0], alternative="greater").pvalue
    assert saturation_of_sweep((1.0, 2.0), scores).p_value == pytest.approx(expected)


def test_differences_without_spread_are_judged_by_their_sign() -> None:
    rising = np.tile([0.1, 0.2], (6, 1))
    assert saturation_of_sweep((1.0, 2.0), rising).saturates_at is None
    assert saturation_of_sweep((1.0, 2.0), rising[:, ::-1]).saturates_at == 1.0
    # Three blocks alike may be chance: 1/8.
    assert saturation_of_sweep((1.0, 2.0), rising[:3]).p_value == 0.125


def test_flat_sweeps_give_a_false_alarm_as_seldom_as_promised() -> None:
    found = [saturation_of_sweep(LEVELS, sweep([0.9] * 4, 0.01, 5, seed=seed)).saturates_at for seed in range(300)]
    # 5 % promised; with 300 sweeps more than 30 alarms has a chance below 1 in 1000.
    assert sum(level != 1.0 for level in found) <= 30


@pytest.mark.parametrize(
    ("levels", "scores"),
    [((2.0, 1.0), np.zeros((3, 2))), ((1.0, 1.0), np.zeros((3, 2))), ((1.0, 2.0, 3.0), np.zeros((3, 2)))],
)
def test_levels_that_do_not_fit_are_refused(levels: tuple[float, ...], scores: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="level"):
        saturation_of_sweep(levels, scores)


def right(count: int, of: int = 400) -> NDArray[np.bool_]:
    return np.arange(of) < count


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        pytest.param([300, 360, 361, 362], 2_000.0, id="a handful of samples more proves nothing"),
        pytest.param([300, 320, 360, 395], None, id="still better at the largest"),
        pytest.param([390, 391, 392, 393], 1_000.0, id="the smallest is as good"),
    ],
)
def test_front_saturates_where_no_larger_point_knows_more(rights: list[int], expected: float | None) -> None:
    costs = [1_000.0, 2_000.0, 3_000.0, 4_000.0]
    assert saturation_of_front(costs, [right(count) for count in rights]).saturates_at == expected


def test_front_of_one_point_has_nothing_to_compare() -> None:
    found = saturation_of_front([5.0], [right(3)])
    assert (found.saturates_at, found.p_value) == (None, None)


def test_front_with_other_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="different numbers"):
        saturation_of_front([1.0, 2.0], [right(3), right(3, of=7)])


probabilities = st.lists(st.floats(0, 1), max_size=12)


@given(probabilities)
def test_holm_is_never_smaller_than_alone_nor_larger_than_bonferroni(p_values: list[float]) -> None:
    for adjusted, alone in zip(holm(p_values), p_values, strict=True):
        assert alone <= adjusted <= min(1.0, len(p_values) * alone) + 1e-12


def test_holm_gives_the_figures_of_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
