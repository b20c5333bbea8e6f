"""What the text coder is made of: tables of whole numbers, bit histories, arithmetic coding."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delta.errors import PatchMalformed
from delta.text import histories, logistic
from delta.text.arithmetic import BitDecoder, BitEncoder
from delta.text.contexts import Contexts


def test_squash_is_the_logistic_function() -> None:
    table = logistic.squash_table()
    for stretched in range(-logistic.LIMIT, logistic.LIMIT + 1):
        exact = logistic.ONE / (1 + math.exp(-stretched / logistic.UNIT))
        assert abs(table[stretched] - exact) <= 1.01
        assert 0 < table[stretched] < logistic.ONE


def test_stretch_is_its_inverse() -> None:
    squash, stretch = logistic.squash_table(), logistic.stretch_table()
    assert len(stretch) == logistic.ONE
    assert stretch[logistic.ONE // 2] == 0
    assert stretch == sorted(stretch)
    for probability in range(64, logistic.ONE - 64, 97):
        low, high = squash[stretch[probability]], squash[stretch[probability] + 1]
        assert low <= probability <= high


def test_a_bit_makes_a_history_expect_it_more() -> None:
    worth = histories.probabilities()
    zero, one = histories.successors(0), histories.successors(1)
    assert len(zero) == len(one) == len(worth) <= 256
    assert worth[histories.NEW] == (logistic.ONE - 1) // 2
    for history in range(len(worth)):
        assert worth[zero[history]] <= worth[history] <= worth[one[history]]


def test_counts_become_the_histories_that_single_bits_lead_to() -> None:
    history = histories.NEW
    for ones in range(1, 60):
        history = histories.successors(1)[history]
        assert histories.of_counts(np.array([0]), np.array([ones]))[0] == history


@given(st.integers(0, 100_000), st.integers(0, 100_000))
def test_any_counts_have_a_history_of_about_their_proportion(zeros: int, ones: int) -> None:
    history = histories.of_counts(np.array([zeros]), np.array([ones]))[0]
    if zeros + ones == 0:
        assert history == histories.NEW
        return
    share = ones / (zeros + ones)
    assert abs(histories.probabilities()[history] / logistic.ONE - share) < 0.25


@given(st.lists(st.tuples(st.integers(1, logistic.ONE - 1), st.integers(0, 1)), max_size=300))
def test_bits_come_back_whatever_their_probabilities(bits: list[tuple[int, int]]) -> None:
    encoder = BitEncoder()
    for probability, bit in bits:
        assert encoder.code(probability, bit) == bit
    decoder = BitDecoder(encoder.finish())
    assert [decoder.code(probability, 0) for probability, _ in bits] == [bit for _, bit in bits]
    assert decoder.exhausted


def test_bits_take_what_their_probability_says() -> None:
    encoder = BitEncoder()
    for _ in range(10_000):
        encoder.code(60_000, 1)
    assert len(encoder.finish()) == pytest.approx(10_000 * -math.log2(60_000 / 65_536) / 8, rel=0.01)


def test_a_decoder_that_runs_out_says_so() -> None:
    decoder = BitDecoder(b"\x80")
    with pytest.raises(PatchMalformed, match="ends before"):
        [decoder.code(logistic.ONE // 2, 0) for _ in range(100)]


def test_contexts_depend_on_few_bytes_only() -> None:
    one, other = Contexts(16), Contexts(16)
    for byte in b"\x01\x02\x03 something else":
        one.advance(byte)
    for byte in b"\x01\x02\x03 another thing":
        other.advance(byte)
    for byte in b"\x04\x05\x06 a node":
        one.advance(byte)
        other.advance(byte)
    assert one.places() == other.places()
