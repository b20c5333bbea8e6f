"""Which whole number of steps each weight moves."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.ladder.assignment import BitCosts, Problem, assign, assign_together


def _problem(seed: int, *, own_moments: bool = False) -> Problem:
    chance = np.random.default_rng(seed)
    rows, columns = 6, 10
    mixing = chance.normal(size=(columns, columns))
    inputs = chance.normal(size=(rows if own_moments else 1, 200, columns)) @ mixing
    moments = np.matmul(inputs.transpose(0, 2, 1), inputs) / 200
    return Problem(
        chance.normal(size=(rows, columns)), moments if own_moments else moments[0], chance.uniform(0.5, 2, rows)
    )


@pytest.mark.parametrize("own_moments", [False, True])
def test_free_bits_give_the_nearest_code(*, own_moments: bool) -> None:
    problem = _problem(1, own_moments=own_moments)

    found = assign(problem, 0.25, 0.0)

    assert np.array_equal(found.codes, np.rint(problem.difference / 0.25))


@pytest.mark.parametrize("own_moments", [False, True])
def test_bits_dearer_than_any_error_leave_the_base_as_it_is(*, own_moments: bool) -> None:
    found = assign(_problem(1, own_moments=own_moments), 0.25, 1e9)

    assert not found.codes.any()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), own_moments=st.booleans())
def test_dearer_bits_give_fewer_bits_and_no_less_error(*, seed: int, own_moments: bool) -> None:
    problem = _problem(seed, own_moments=own_moments)

    found = [assign(problem, 0.25, bit_cost) for bit_cost in (0.0, 1.0, 30.0, 1e9)]

    bits, errors = [one.bits for one in found], [one.error for one in found]
    assert all(dearer <= 1.02 * cheaper for cheaper, dearer in itertools.pairwise(bits))
    assert errors[0] <= errors[-1]
    assert errors[-1] == pytest.approx(problem.error(np.zeros_like(problem.difference)))


def test_weights_that_move_make_up_for_one_that_does_not() -> None:
    # Two inputs that are nearly the same: one code can stand for two small ones.
    moment = np.kron(np.eye(8), np.array([[1.0, 0.99], [0.99, 1.0]]))
    problem = Problem(np.full((1, 16), 0.55), moment, np.ones(1))

    found = assign(problem, 1.0, 0.05)

    assert np.count_nonzero(found.codes) == 8
    assert found.codes.reshape(8, 2).sum(axis=1).tolist() == [1] * 8
    assert found.error < problem.error(np.rint(problem.difference))


def test_a_row_that_costs_nothing_is_not_sent() -> None:
    problem = Problem(np.ones((2, 8)), np.eye(8), np.array([1e-12, 100.0]))

    found = assign(problem, 1.0, 0.01)

    assert not found.codes[0].any()
    assert found.codes[1].all()


@pytest.mark.parametrize("steps", [[0.5, 3.0, 20.0], [3.0, 20.0, 40.0], [0.1, 0.5, 1.5, 3.0]])
def test_the_step_is_the_one_that_costs_least_wherever_it_stands(steps: list[float]) -> None:
    problem = Problem(np.array([[0.0, 3.0, -3.0, 6.0, 0.0, 0.0]]), np.eye(6), np.ones(1))

    step, (found,) = assign_together([problem], steps, 0.05)

    assert step == 3.0
    assert found.codes.tolist() == [[0, 1, -1, 2, 0, 0]]


def test_codes_that_came_often_are_cheap_and_larger_ones_never_cheaper_than_the_largest_known() -> None:
    costs = BitCosts.of(np.array([0] * 90 + [1] * 6 + [-2] * 4))

    by_magnitude = costs.by_magnitude
    assert by_magnitude[0] < 0.3
    assert by_magnitude[0] < by_magnitude[1] < by_magnitude[2] < by_magnitude[10] < by_magnitude[500]
    assert costs.total(np.array([0, 1, -1])) == pytest.approx(by_magnitude[0] + 2 * by_magnitude[1])


@pytest.mark.parametrize("step", [0.0, -1.0, np.nan, np.inf])
def test_a_step_that_is_none_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match="step"):
        assign(_problem(1), step, 0.1)


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="no steps"):
        assign_together([_problem(1)], [], 0.1)
