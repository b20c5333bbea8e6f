"""The command as a person and as a program use it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.schema import validate


def _bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_json_is_the_report_and_nothing_else(classifier: Path) -> None:
    done = _bench(classifier, "--tier", "smoke", "--json", "--static", "--watts", "4", "--shape", "x=2,6")
    report = json.loads(done.stdout)

    validate(report)
    assert (done.returncode, done.stderr) == (0, "")
    assert report["workload"]["input_shapes"] == {"x": [2, 6]}
    assert report["artifact"]["static"]["macs"] == {"float32\u00d7float32": 48}


def test_table_says_what_is_absent_and_why(classifier: Path) -> None:
    done = _bench(classifier, "--tier", "smoke", "--static", "--watts", "4")

    assert done.returncode == 0
    labels = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert {"model", "validity", "latency", "memory", "energy", "accuracy", "static", "analytic"} <= set(labels)
    assert "at 7 nm, on an assumed chip, not measured" in done.stdout
    assert "accuracy     none: no sample set was given" in done.stdout
    assert "min_duration" in done.stdout


def test_failure_is_one_line_and_the_documented_exit_code(tmp_path: Path) -> None:
    done = _bench(tmp_path / "missing.onnx", "--tier", "smoke", "--json")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("missing.onnx: ")
    assert done.stderr.count("\n") == 1


def test_own_threads_are_called_custom_and_providers_are_named(classifier: Path) -> None:
    done = _bench(classifier, "--tier", "smoke", "--threads", "2", "--no-pin", "--provider", "CPUExecutionProvider")

    assert done.returncode == 0
    assert "custom: 2 threads, nodes on CPUExecutionProvider 1" in done.stdout


def test_missing_provider_is_its_exit_code(classifier: Path) -> None:
    done = _bench(classifier, "--tier", "smoke", "--provider", "QNNExecutionProvider")

    assert (done.returncode, done.stdout) == (11, "")
    assert "no QNNExecutionProvider" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--watts", "0"], ["--threads", "0"], ["--shape", "x"], ["--shape", "x=a"], ["--tier", "long"]]
)
def test_wrong_options_are_usage_errors(classifier: Path, arguments: list[str]) -> None:
    assert _bench(classifier, *arguments).returncode == 2


def test_help_lists_tiers_and_exit_codes() -> None:
    done = _bench("--help")

    assert done.returncode == 0
    for text in ("smoke", "normal", "--samples", "exit codes", "the model does not load"):
        assert text in done.stdout
