"""Codes and steps are exactly what the codec's correction restores; prices follow what it charges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.ladder.codes import LEAST_STEP, Codes, as_step, rounded, start_step
from compression.ladder.surrogate import TENSOR_NATS, price
from delta.corrections.steps import moved
from delta.encoder.ways.steps import find_step


@pytest.mark.parametrize(
    ("value", "step"),
    [(0.1, float(np.float16(0.1))), (0.0, LEAST_STEP), (-1.0, LEAST_STEP), (1e9, 1024.0), (1.0, 1.0)],
)
def test_step_is_a_positive_finite_half(value: float, step: float) -> None:
    assert float(as_step(value)) == step
    assert np.float32(np.float16(as_step(value))) == as_step(value)


@pytest.mark.parametrize(
    ("difference", "code"), [(0.24, 0), (0.26, 1), (-0.26, -1), (0.75, 2), (0.25, 0), (1e9, (1 << 15) - 1)]
)
def test_codes_are_the_nearest_ones_within_what_is_held(difference: float, code: int) -> None:
    assert rounded(np.array([difference]), 0.5).codes.tolist() == [code]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), step=st.floats(1e-4, 4.0), share=st.floats(0.02, 1.0))
def test_applied_codes_are_found_again_by_the_codec_bit_for_bit(seed: int, step: float, share: float) -> None:
    chance = np.random.default_rng(seed)
    base = chance.normal(0, 0.1, 600).astype(np.float32)
    numbers = chance.integers(-5, 6, 600) * (chance.random(600) < share)
    numbers[0] = 1
    codes = Codes(as_step(step), numbers.astype(np.int16))
    found = find_step(codes.applied(base), base)
    assert found is not None
    assert moved(base, found[1], found[0]).tobytes() == codes.applied(base).tobytes()


def test_tensor_without_codes_is_the_base_itself() -> None:
    base = np.array([1.0, -0.0], np.float32)
    assert Codes(as_step(1.0), np.zeros(2, np.int16)).applied(base) is base


def test_first_step_is_in_deviations_of_the_difference() -> None:
    assert float(start_step(np.array([3.0, -4.0, 0.0, 0.0], np.float32), 2.0)) == 5.0


def test_rare_changes_are_dearer_than_common_ones() -> None:
    def dearness(share: float) -> float:
        codes = (np.arange(1000) < share * 1000).astype(np.int16)
        return float(price(codes, dims=(1000,)).per_change[0])

    assert dearness(0.001) > dearness(0.01) > dearness(0.1) > dearness(0.5) > 0


def test_change_is_cheaper_in_a_channel_that_changes_already() -> None:
    codes = np.zeros((8, 64), np.int16)
    codes[2, ::2] = 1
    found = price(codes, dims=(8, 64)).per_change.reshape(8, 64)
    assert found[2, 1] < found[3, 1] / 2


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.01, 0.5))
def test_price_is_near_the_entropy_of_what_is_sent(seed: int, share: float) -> None:
    chance = np.random.default_rng(seed)
    codes = (chance.choice([-1, 1], 4000) * (chance.random(4000) < share)).astype(np.int16)
    some = np.count_nonzero(codes) / 4000
    if not 0.005 < some < 0.6:
        return
    entropy = 4000 * (-some * np.log(some) - (1 - some) * np.log(1 - some) + some * np.log(2))
    assert price(codes, dims=(40, 100)).nats(codes) - TENSOR_NATS == pytest.approx(entropy, rel=0.15)


def test_tensor_that_does_not_change_costs_nothing() -> None:
    nothing = np.zeros((8, 16), np.int16)
    assert price(nothing, dims=(8, 16)).nats(nothing) == 0
