"""The part of docs/studies.md that is made by a command."""

from typing import Any

from benchmarks.peers.saturation import RATIO, SEARCH, SHARE, section


def point(number: int, parameters: dict[str, float], accuracy: float, **more: Any) -> dict[str, Any]:
    metrics = {
        "accuracy": accuracy,
        "accuracy_ci95": [accuracy - 0.1, accuracy + 0.1],
        "param_count": 1000 * number,
        "size_bytes": 4000 * (number + 1),
        "packed_bytes": 3000,
        "macs": 50_000,
        "latency_p50_ns": None,
        "training_s": 2.0,
    }
    nets = [{"repeat": 0, "fold": 0, "accuracy": accuracy - 0.01}, {"repeat": 1, "fold": 0, "accuracy": accuracy}]
    return {
        "number": number,
        "state": "complete",
        "parameters": parameters,
        "metrics": metrics,
        "nets": nets,
        "reasons": {"latency_p50_ns": "the ruler's report is invalid: cpu_share"},
        "on_front": True,
        "failure": "",
        **more,
    }


def verdict(parameter: str, saturates_at: float | None, p_value: float | None) -> dict[str, Any]:
    return {"parameter": parameter, "saturates_at": saturates_at, "p_value": p_value, "test": "a test"}


DOCUMENTS = {
    SHARE: {
        "points": [point(0, {"pct_3x3": 0.25}, 0.8), point(1, {"pct_3x3": 0.5}, 0.9)],
        "saturation": [verdict("pct_3x3", 0.25, 0.125)],
    },
    RATIO: {
        "points": [point(0, {"squeeze_ratio": 0.25}, 0.8), point(1, {"squeeze_ratio": 0.5}, 0.9)],
        "saturation": [verdict("squeeze_ratio", None, 0.001)],
    },
    SEARCH: {
        "points": [
            point(0, {"fires": 1}, 0.8),
            point(1, {"fires": 2}, 0.9),
            point(2, {"fires": 4}, 0.9, state="pruned", on_front=False, failure="over budget before any training: ..."),
            point(3, {"fires": 3}, 0.9, state="pruned", on_front=False, failure="after 4 epochs ..."),
        ],
        "saturation": [verdict("size_bytes", None, None)],
    },
}


def test_section_has_every_level_every_verdict_and_every_picture() -> None:
    text = "\n".join(section(DOCUMENTS))
    assert "| 0.25 | 0.8000 | 0.7900 to 0.8000 | 0 | 4,000 | 50,000 | 2.0 |" in text
    assert "- `pct_3x3`: no more pays beyond 0.25, p = 0.125 (a test)." in text
    assert "- `squeeze_ratio`: still pays at its highest level, p = 0.001 (a test)." in text
    assert "Only 2 of 6 levels are measured so far" in text
    assert "2 points trained to the end, 1 over a budget before any training, 1 given up on the way, 0 failed." in text
    assert "| 1 | 0.9000 (0.8000 to 1.0000) | 8,000 | 3,000 | 50,000 | not known | fires 2 |" in text
    assert "Latency is not known where the ruler's report is invalid: cpu_share." in text
    assert text.count("![") == 4


def test_study_without_a_point_is_left_out() -> None:
    text = "\n".join(section({SHARE: DOCUMENTS[SHARE]}))
    assert SHARE in text
    assert RATIO not in text
    assert SEARCH not in text
