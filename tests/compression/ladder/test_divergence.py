"""Divergence of scores, against values worked out by hand."""

import numpy as np
import pytest

from compression.ladder.divergence import divergence


def test_same_answers_are_at_no_distance() -> None:
    scores = np.array([[3.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    assert divergence(scores, scores) == 0
    assert divergence(scores + 5, scores) == pytest.approx(0, abs=1e-12)


def test_mean_over_samples_of_what_the_reference_says() -> None:
    reference = np.log(np.array([[0.5, 0.5], [0.8, 0.2]]))
    answers = np.log(np.array([[0.25, 0.75], [0.8, 0.2]]))
    expected = (0.5 * np.log(2) + 0.5 * np.log(0.5 / 0.75)) / 2
    assert divergence(answers, reference) == pytest.approx(expected)


def test_probabilities_are_taken_as_such() -> None:
    logits, others = np.array([[2.0, 0.0, -1.0]]), np.array([[0.0, 3.0, 0.0]])

    first, second = (np.exp(scores) / np.exp(scores).sum() for scores in (logits, others))
    assert divergence(first, second) == pytest.approx(divergence(logits, others))
