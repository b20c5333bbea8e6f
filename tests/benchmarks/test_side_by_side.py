"""Several models by turns, and what is said of them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.schema import validate
from benchmarks.side_by_side import as_json, candidates_of, comparisons_of, lines, measure_by_turns
from tests.benchmarks.test_proxy import FP32, INT8, _report

FP32_FILE, INT8_FILE = Path("a/fp32.onnx"), Path("a/int8.onnx")


def _measured(p50_ms: dict[Path, float], *, state: str = "valid") -> dict[str, list[dict[str, Any]]]:
    def measure(model: Path) -> dict[str, Any]:
        static, size_bytes = (FP32, 5_700_000) if model == FP32_FILE else (INT8, 1_680_000)
        return {**_report(p50_ms[model], state=state), "artifact": {"static": static, "bytes": size_bytes}}

    return measure_by_turns(list(p50_ms), measure, rounds=3)


def test_models_take_turns_and_each_is_first_once() -> None:
    order: list[str] = []

    def measure(model: Path) -> dict[str, Any]:
        order.append(model.name)
        return {}

    measure_by_turns([Path("a"), Path("b"), Path("c")], measure, rounds=3)

    assert "".join(order) == "abcbcacab"


def test_models_of_the_same_name_are_told_apart_by_their_folders() -> None:
    assert list(measure_by_turns([Path("x/m.onnx"), Path("y/m.onnx")], lambda _: {}, rounds=1)) == [
        "x/m.onnx",
        "y/m.onnx",
    ]


def test_disagreement_is_said_first_and_names_the_model_to_take() -> None:
    reports = _measured({FP32_FILE: 4.06, INT8_FILE: 8.21})
    candidates = candidates_of(reports)
    comparisons = comparisons_of(candidates)

    said = list(lines(reports, candidates, comparisons))

    assert said[1].split()[:3] == ["fp32.onnx", "5.700", "MB"]
    assert said[4] == "int8.onnx against fp32.onnx"
    assert said[5].split()[0] == "disagree"
    assert "they disagree, fp32.onnx is cheaper where it was measured" in said[5]
    assert any("fp32.onnx: no sensor" in line for line in said)


def test_program_gets_reports_and_verdicts_with_stable_ids() -> None:
    reports = _measured({FP32_FILE: 4.06, INT8_FILE: 8.21})

    answer = json.loads(json.dumps(as_json(reports, comparisons_of(candidates_of(reports)))))

    verdicts = {verdict["id"]: verdict for verdict in answer["comparisons"][0]["verdicts"]}
    assert verdicts["size_bytes-vs-p50_latency_ns"]["state"] == "disagree"
    assert verdicts["size_bytes-vs-p50_latency_ns"]["metric_prefers"] == "a"
    assert len(answer["reports"]["int8.onnx"]) == 3
    assert answer["comparisons"][0]["missing"]["macs-vs-energy_j"] == "fp32.onnx: no sensor"


def test_machine_that_was_busy_gives_no_verdict() -> None:
    reports = _measured({FP32_FILE: 4.06, INT8_FILE: 8.21}, state="invalid")
    candidates = candidates_of(reports)

    said = list(lines(reports, candidates, comparisons_of(candidates)))

    assert said[1].endswith("0 of 3")
    assert said[-1].split(maxsplit=1) == ["unknown", "everything: fp32.onnx: all 3 reports are invalid: cpu_share"]


def test_command_measures_each_model_in_processes_of_its_own(classifier: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(classifier, tmp_path / "copy.onnx"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks",
            classifier,
            "--compare",
            other,
            *("--tier", "smoke", "--processes", "1", "--json"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer = json.loads(done.stdout)

    for reports in answer["reports"].values():
        for report in reports:
            validate(report)
    assert list(answer["reports"]) == ["classifier.onnx", "copy.onnx"]
    (comparison,) = answer["comparisons"]
    assert len(comparison["verdicts"]) + len(comparison["missing"]) == 9


@pytest.mark.parametrize(
    ("compared", "exit_code", "said"),
    [
        ([], 2, "expected at least one argument"),
        (["missing.onnx"], 3, "missing.onnx"),
        ([None], 2, "one is given twice"),
    ],
)
def test_model_to_compare_with_must_be_another_one(
    classifier: Path, compared: list[str | None], exit_code: int, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", classifier, "--compare", *(name or classifier for name in compared)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == exit_code
    assert said in done.stderr
    assert done.stdout == ""
