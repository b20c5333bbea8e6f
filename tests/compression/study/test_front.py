"""Dominance, budgets, front and knee as pure functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.study.front import Budget, Metrics, Objective, dominates, front_of, knee_of, within_budgets

ACCURATE = Objective("accuracy", "max")
SMALL = Objective("size_bytes", "min")
BOTH = (ACCURATE, SMALL)


def point(accuracy: float | None, size_bytes: float | None) -> Metrics:
    return {"accuracy": accuracy, "size_bytes": size_bytes}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param(point(0.9, 10), point(0.8, 20), True, id="better in both"),
        pytest.param(point(0.9, 10), point(0.9, 20), True, id="equal in one, better in the other"),
        pytest.param(point(0.9, 10), point(0.9, 10), False, id="equal"),
        pytest.param(point(0.9, 20), point(0.8, 10), False, id="a trade"),
        pytest.param(point(0.9, None), point(0.8, 20), False, id="what is not known wins nothing"),
        pytest.param(point(0.9, 10), point(0.8, None), False, id="and loses to nothing"),
    ],
)
def test_two_points_are_compared_by_every_objective(one: Metrics, other: Metrics, *, expected: bool) -> None:
    assert dominates(one, other, BOTH) is expected


@pytest.mark.parametrize(
    ("points", "budgets", "expected"),
    [
        pytest.param([], (), [], id="no points"),
        pytest.param([point(0.9, 10), point(0.8, 20)], (), [0], id="one rules"),
        pytest.param([point(0.9, 10), point(0.9, 10)], (), [0, 1], id="equal ones stay both"),
        pytest.param([point(0.9, 30), point(0.8, 20), point(0.7, 10)], (), [0, 1, 2], id="all trades"),
        pytest.param(
            [point(0.9, 30), point(0.8, 20)], (Budget("size_bytes", at_most=20),), [1], id="a limit is itself allowed"
        ),
        pytest.param(
            [point(0.9, 30), point(0.8, 40)],
            (Budget("size_bytes", at_most=20),),
            [],
            id="none within",
        ),
        pytest.param(
            [point(0.95, 10), point(0.9, 5)], (Budget("accuracy", at_least=0.95),), [0], id="at least so accurate"
        ),
        pytest.param(
            [{**point(0.9, 10), "latency_p50_ns": None}, point(0.8, 20)],
            (Budget("latency_p50_ns", at_most=1e6),),
            [],
            id="unknown is within no budget",
        ),
        pytest.param([point(None, 10), point(0.8, 20)], (), [1], id="unknown is on no front"),
    ],
)
def test_front_has_what_nothing_within_the_budgets_beats(
    points: list[Metrics], budgets: tuple[Budget, ...], expected: list[int]
) -> None:
    assert front_of(points, BOTH, budgets) == expected


values = st.one_of(st.none(), st.integers(0, 6).map(float))
clouds = st.lists(st.builds(point, values, values), max_size=12)
limits = st.lists(st.builds(lambda most: Budget("size_bytes", at_most=most), st.integers(0, 6)), max_size=1)


@given(clouds, limits)
def test_any_cloud_every_point_off_the_front_has_a_reason(points: list[Metrics], budgets: list[Budget]) -> None:
    front = front_of(points, BOTH, budgets)
    for index, metrics in enumerate(points):
        is_known = None not in metrics.values()
        beaten = any(dominates(points[member], metrics, BOTH) for member in front)
        assert (index in front) == (is_known and within_budgets(metrics, budgets) and not beaten)


@given(clouds, clouds)
def test_more_points_take_from_the_old_front_only_what_the_new_beat(old: list[Metrics], new: list[Metrics]) -> None:
    before, after = front_of(old, BOTH), front_of([*old, *new], BOTH)
    for member in set(before) - set(after):
        assert any(dominates(points, old[member], BOTH) for points in new)


def test_knee_is_the_front_point_nearest_to_the_best_of_everything() -> None:
    points = [point(0.5, 1_000), point(0.97, 10_000), point(0.98, 1_000_000)]
    assert knee_of(points, [0, 1, 2], BOTH) == 1
    assert knee_of(points, [2], BOTH) == 2
    assert knee_of(points, [], BOTH) is None


@pytest.mark.parametrize(
    ("budget", "value", "excess"),
    [
        (Budget("size_bytes", at_most=100), 150, 0.5),
        (Budget("size_bytes", at_most=100), 100, 0),
        (Budget("accuracy", at_least=0.9), 0.8, pytest.approx(0.1)),
        (Budget("accuracy", at_least=0.9), 0.95, pytest.approx(-0.05)),
    ],
)
def test_excess_says_by_how_much_a_limit_is_broken(budget: Budget, value: float, excess: float) -> None:
    assert budget.excess(value) == excess
