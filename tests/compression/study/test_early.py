"""When a point is given up."""

from collections.abc import Sequence

import pytest

from compression.study.early import Curve, beaten_by
from compression.study.front import Objective

ACCURATE, SMALL = Objective("accuracy", "max"), Objective("size_bytes", "min")


def curve(number: int, size: float | None, accuracies: Sequence[float], **settings: object) -> Curve:
    return Curve(number, {"size_bytes": size}, settings, accuracies)


WINNER = curve(1, 100, [0.5, 0.7, 0.8, 0.9])


@pytest.mark.parametrize(
    ("point", "beaten"),
    [
        pytest.param(curve(9, 100, [0.1, 0.2, 0.3]), True, id="no smaller and far behind"),
        pytest.param(curve(9, 99, [0.1, 0.2, 0.3]), False, id="smaller"),
        pytest.param(curve(9, 100, [0.1, 0.2]), False, id="too early to tell"),
        pytest.param(curve(9, 100, [0.1, 0.2, 0.75]), False, id="within the margin"),
        pytest.param(curve(9, 100, [0.1, 0.2, 0.6999]), True, id="at the margin"),
        pytest.param(curve(9, None, [0.1, 0.2, 0.3]), False, id="cost unknown"),
        pytest.param(curve(9, 100, [0.1, 0.2, 0.3], prune=0.5), False, id="compressed otherwise"),
        pytest.param(curve(9, 100, [0.1] * 5), False, id="longer than the other trained"),
    ],
)
def test_point_is_given_up_only_when_a_cheaper_one_was_far_ahead(point: Curve, *, beaten: bool) -> None:
    found = beaten_by(point, [WINNER], (ACCURATE, SMALL), after=3, margin=0.1)
    assert (found is WINNER) is beaten


def test_objective_that_training_changes_gives_no_point_up() -> None:
    objectives = (ACCURATE, SMALL, Objective("packed_bytes", "min"))
    assert beaten_by(curve(9, 100, [0.1, 0.1, 0.1]), [WINNER], objectives, after=1, margin=0.1) is None


def test_accuracy_alone_gives_up_what_is_behind() -> None:
    assert beaten_by(curve(9, None, [0.1, 0.1, 0.1]), [WINNER], (ACCURATE,), after=1, margin=0.1) is WINNER
