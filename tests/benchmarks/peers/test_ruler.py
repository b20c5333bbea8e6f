"""What the comparison of the ruler with others says about figures; the figures themselves need LoadGen's environment and minutes."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.ruler import LEAST_ROUNDS, main, markdown, ratios


def _answer(ruler_ns: list[int], *, loadgen_bound_ns: int = 1200) -> dict[str, Any]:
    return {
        "rounds": [{"ruler": ruler, "naive": 1000, "loadgen": 1000} for ruler in ruler_ns],
        "bounds": [{"n": 200, "loadgen_ns": loadgen_bound_ns, "ours_ns": 1200}],
    }


def test_ratio_is_the_median_round_with_an_interval_of_order_statistics() -> None:
    """Of twelve values the third and the tenth enclose the median with 95 %."""
    assert ratios(_answer([990 + step for step in range(12)]), "naive") == (0.9955, 0.992, 0.999)


def test_one_disturbed_round_does_not_move_the_ratio() -> None:
    assert ratios(_answer([1000] * 11 + [9000]), "loadgen") == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("ruler_ns", "verdict"), [(1009, "yes"), (1011, "NO"), (991, "yes"), (989, "NO")])
def test_interval_beyond_one_percent_misses_the_goal(ruler_ns: int, verdict: str) -> None:
    page = markdown(_answer([ruler_ns] * 12), name="net.onnx", seconds=0.5, load=0.1)

    assert f"| {ruler_ns / 1000:.4f} to {ruler_ns / 1000:.4f} | {verdict} |" in page


@pytest.mark.parametrize(("bound_ns", "said"), [(1200, "equal in 1 of 1 runs"), (1201, "equal in 0 of 1 runs")])
def test_bounds_are_equal_to_the_nanosecond_or_not(bound_ns: int, said: str) -> None:
    assert said in markdown(_answer([1000] * 12, loadgen_bound_ns=bound_ns), name="net.onnx", seconds=0.5, load=0.1)


def test_missing_environment_says_how_to_make_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cache", str(tmp_path)]) == 2
    assert "python -m benchmarks.peers environments" in capsys.readouterr().err


def test_too_few_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--rounds", str(LEAST_ROUNDS - 1)])
    assert "at least 10 rounds" in capsys.readouterr().err
