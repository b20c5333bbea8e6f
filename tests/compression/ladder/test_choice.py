"""Which rungs are published, as tables."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.ladder.choice import MAX_PUBLISHED, PROMISES, Offer, Promise, choose, pareto_front, variant_names


def offer(name: str, size: int, divergence: float, difference: float = 0.0) -> Offer:
    return Offer(name, size, divergence, difference)


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        pytest.param(
            [offer("a", 900, 0.0005), offer("b", 500, 0.0038), offer("c", 200, 0.0098), offer("d", 90, 0.05)],
            {"b": "faithful", "c": "thrifty", "d": "between"},
            id="fewest bytes that keep each promise, and one more",
        ),
        pytest.param(
            [offer("a", 900, 0.0005), offer("b", 950, 0.001)], {"a": "faithful, thrifty"}, id="one keeps both promises"
        ),
        pytest.param(
            [offer("a", 900, 0.0041), offer("b", 300, 0.02)], {"a": "thrifty", "b": "between"}, id="none faithful"
        ),
        pytest.param([offer("a", 900, 0.1)], {"a": "between"}, id="none keeps any"),
        pytest.param(
            [offer("a", 900, 0.0005, 0.004), offer("b", 950, 0.0005, 0.001)],
            {"a": "thrifty", "b": "faithful"},
            id="accuracy counts as well as divergence",
        ),
        pytest.param(
            [offer("a", 900, 0.0005), offer("b", 800, 0.0098, -0.006)],
            {"a": "faithful, thrifty", "b": "between"},
            id="worse accuracy",
        ),
        pytest.param([], {}, id="nothing made"),
    ],
)
def test_chosen_rungs(offers: list[Offer], chosen: dict[str, str]) -> None:
    assert choose(offers) == chosen


@settings(deadline=None)
@given(
    st.lists(
        st.builds(Offer, st.uuids().map(str), st.integers(1, 10**6), st.floats(0, 0.5), st.floats(-0.1, 0.1)),
        max_size=8,
    )
)
def test_chosen_ones_are_few_and_none_is_beaten_without_reason(offers: list[Offer]) -> None:
    chosen = choose(offers)
    assert len(chosen) <= MAX_PUBLISHED
    front = {found.name for found in pareto_front(offers)}
    assert all(name in front for name, role in chosen.items() if role == "between")


def test_front_has_falling_bytes_with_rising_divergence() -> None:
    made = [offer("a", 10, 0.1), offer("b", 20, 0.05), offer("c", 30, 0.06), offer("d", 20, 0.04)]
    assert [found.name for found in pareto_front(made)] == ["a", "d"]


def test_variants_are_named_by_what_they_promise() -> None:
    roles = {"x": "faithful", "y": "between", "z": "thrifty"}
    assert variant_names(roles) == {"x": "rung-faithful", "y": "rung-2", "z": "rung-thrifty"}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_a_promise_is_made_on_no_more_divergence_than_the_answers_it_may_miss(promise: Promise) -> None:
    assert promise.divergence <= 1 - promise.agreement + 1e-12
