"""Which rungs are published, as tables."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.ladder.choice import (
    MAX_PUBLISHED,
    PROMISES,
    USUAL_BOLDNESS,
    USUAL_WEIGHT,
    Offer,
    Promise,
    boldness,
    choose,
    keeping,
    pareto_front,
    variant_names,
)


def offer(name: str, size: int, divergence: float, difference: float = 0.0) -> Offer:
    return Offer(name, size, divergence, difference)


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        pytest.param(
            [offer("a", 900, 0.0005), offer("b", 500, 0.0008), offer("c", 200, 0.003), offer("d", 90, 0.05)],
            {"b": "faithful", "c": "thrifty", "d": "between"},
            id="fewest bytes that keep each promise, and one more",
        ),
        pytest.param(
            [offer("a", 900, 0.0005), offer("b", 950, 0.0006)], {"a": "faithful, thrifty"}, id="one keeps both promises"
        ),
        pytest.param(
            [offer("a", 900, 0.0009), offer("b", 300, 0.02)], {"a": "thrifty", "b": "between"}, id="none faithful"
        ),
        pytest.param([offer("a", 900, 0.1)], {"a": "between"}, id="none keeps any"),
        pytest.param(
            [offer("a", 900, 0.0005, 0.004), offer("b", 950, 0.0005, 0.001)],
            {"a": "thrifty", "b": "faithful"},
            id="accuracy counts as well as divergence",
        ),
        pytest.param(
            [offer("a", 900, 0.0005), offer("b", 800, 0.003, -0.006)],
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


def test_answers_that_were_counted_tell_more_than_what_is_usual() -> None:
    def asked(samples: int, others: int) -> float:
        return boldness([Offer("a", 1, 0.0025, 0.0, samples, others), Offer("b", 1, 0.0025, 0.0, samples, others)])

    nothing_known = boldness([])
    assert nothing_known == boldness([offer("a", 1, 0.5)]) == asked(0, 0)
    assert USUAL_BOLDNESS < nothing_known < 2 * USUAL_BOLDNESS
    assert asked(1000, 0) < USUAL_BOLDNESS < nothing_known < asked(1000, 20)
    # Of very many samples the share itself is left: 2 % at .05 root nats.
    assert asked(10**7, 2 * 10**5) == pytest.approx(0.4, rel=0.01)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
@given(
    usual=st.floats(0.02, 0.5), asked=st.integers(200, 2000), root=st.floats(0.01, 0.2), seed=st.integers(0, 2**32 - 1)
)
def test_what_is_promised_is_foretold_with_care(
    promise: Promise, usual: float, asked: int, root: float, seed: int
) -> None:
    others = int(np.random.default_rng(seed).poisson(usual * root * asked))
    found = [Offer("a", 1, root**2, 0.0, asked, others)]
    if keeping(found, promise):
        # Between what was counted and what is usual lies the estimate; what is foretold is above it.
        middle = (others + USUAL_WEIGHT) / (asked * root + USUAL_WEIGHT / USUAL_BOLDNESS)
        assert middle * root <= 1 - promise.agreement
