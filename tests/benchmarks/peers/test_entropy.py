"""The reference for sparse codes, against the estimator run symbol by symbol."""

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.entropy import adaptive_bits, codes_entropy


def step_by_step(symbols: list[int]) -> float:
    counts = dict.fromkeys(symbols, 0)
    bits = 0.0
    for seen, symbol in enumerate(symbols):
        bits -= math.log2((counts[symbol] + 0.5) / (seen + len(counts) / 2))
        counts[symbol] += 1
    return bits


@pytest.mark.parametrize("symbols", [[0], [0, 0, 0], [0, 1, 0, 0, -1, 0, 0, 3], list(range(20))])
def test_the_closed_form_is_the_estimator(symbols: list[int]) -> None:
    assert adaptive_bits(np.array(symbols)) == pytest.approx(step_by_step(symbols))


def test_the_lower_of_both_ways_of_counting_counts(tmp_path: Path) -> None:
    dense, empty = np.tile([1, -1], 500), np.zeros(1000, np.int64)
    np.savez(tmp_path / "codes.npz", a=dense, b=empty)
    entropy = codes_entropy(tmp_path / "codes.npz")
    assert entropy.non_zeros == 1000
    # One bit for each of the dense codes, next to nothing for the others.
    assert entropy.per_tensor_bytes == pytest.approx(125, abs=3)
    assert entropy.lower_bytes == entropy.per_tensor_bytes < entropy.together_bytes
