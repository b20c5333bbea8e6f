"""Sample checks, load checks and accuracy of real models in real child processes."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.accuracy import predict
from benchmarks.checks import LoadCheck, SampleCheck, check_samples, load_check
from benchmarks.errors import (
    BenchmarkError,
    ChildCrashed,
    InferenceFailed,
    MemoryExceeded,
    ModelUnloadable,
    RequestInvalid,
    RuntimeMissing,
    SamplesUnreadable,
    error_classes,
)
from benchmarks.process import Limits, ask_child
from benchmarks.samples import write_samples

Array = np.ndarray[Any, Any]
MakeModel = Callable[..., onnx.ModelProto]
TIMEOUT_S = 60.0


@pytest.fixture
def scores(features: Array, classifier_weights: Array) -> Array:
    return features @ classifier_weights


@pytest.fixture
def check(tmp_path: Path, classifier: Path, features: Array) -> Callable[..., SampleCheck]:
    """Checks the classifier against these golden scores."""

    def run(goldens: dict[str, Array], labels: Array | None = None, **options: Any) -> SampleCheck:
        path = tmp_path / "set.npz"
        write_samples(path, {"x": features}, goldens, labels)
        return check_samples(classifier, path, timeout_s=TIMEOUT_S, **options)

    return run


def test_right_outputs_pass_with_accuracy_and_its_interval(check: Callable[..., SampleCheck], scores: Array) -> None:
    labels = scores.argmax(axis=1)
    labels[:4] = (labels[:4] + 1) % 4
    found = check({"scores": scores}, labels)

    assert found.passed
    assert found.problem is None
    assert (found.n, found.agreement, found.accuracy) == (40, 1.0, 0.9)
    assert found.accuracy_ci95 is not None
    assert found.accuracy_ci95[0] < 0.9 < found.accuracy_ci95[1]


def test_outputs_beyond_tolerance_fail_and_say_by_how_much(check: Callable[..., SampleCheck], scores: Array) -> None:
    scores[7, 2] += 0.5
    found = check({"scores": scores}, atol=0.01, rtol=0.01)

    assert not found.passed
    assert not found.within_tolerance
    assert found.max_abs_error == pytest.approx(0.5, abs=1e-4)
    assert found.problem is not None
    assert "by up to 0.5" in found.problem


def test_relative_tolerance_scales_with_the_golden_value(check: Callable[..., SampleCheck], scores: Array) -> None:
    assert check({"scores": scores * np.float32(1.05)}, atol=1e-5, rtol=0.06).passed
    assert not check({"scores": scores * np.float32(1.05)}, atol=1e-5, rtol=0.04).passed


def test_agreement_is_enough_only_where_the_publisher_says_so(check: Callable[..., SampleCheck], scores: Array) -> None:
    """Goldens of another precision: values differ, choices agree except in two of forty samples."""
    goldens = scores * np.float32(2)
    for row in (3, 9):
        goldens[row] = -goldens[row]

    assert check({"scores": goldens}).passed is False
    assert check({"scores": goldens}, min_agreement=0.95).passed is True
    strict = check({"scores": goldens}, min_agreement=0.96)
    assert strict.agreement == 0.95
    assert strict.problem is not None
    assert "agreement is 0.9500, wanted 0.96" in strict.problem


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda scores: scores[:, :3], "shape is [1, 4], golden is [1, 3]"),
        (lambda scores: scores.astype(np.float64), "dtype is float32, golden is float64"),
        (lambda scores: np.where(scores == scores[5, 1], np.float32("nan"), scores), "NaN or infinity"),
        (lambda scores: np.where(scores == scores[5, 1], np.float32("inf"), scores), "NaN or infinity"),
    ],
)
def test_wrong_shape_dtype_or_nan_fails_even_with_full_agreement(
    check: Callable[..., SampleCheck], scores: Array, spoil: Callable[[Array], Array], problem: str
) -> None:
    found = check({"scores": spoil(scores)}, min_agreement=0.0)

    assert not found.passed
    assert found.problem is not None
    assert problem in found.problem
    assert len(found.failures) <= 5


def test_scores_with_nan_fail_against_finite_goldens(tmp_path: Path, make_model: MakeModel, features: Array) -> None:
    model = tmp_path / "root.onnx"
    node = helper.make_node("Sqrt", ["x"], ["y"])
    onnx.save(make_model([node], inputs={"x": (1, ["N", 6])}, outputs={"y": (1, ["N", 6])}), model)
    path = tmp_path / "set.npz"
    write_samples(path, {"x": features}, {"y": np.sqrt(np.abs(features))})

    found = check_samples(model, path, min_agreement=0.0, timeout_s=TIMEOUT_S)

    assert not found.passed
    assert "NaN" in found.failures[0]


def test_same_nan_in_both_is_no_failure(tmp_path: Path, make_model: MakeModel, features: Array) -> None:
    model = tmp_path / "root.onnx"
    onnx.save(
        make_model([helper.make_node("Sqrt", ["x"], ["y"])], inputs={"x": (1, ["N", 6])}, outputs={"y": (1, ["N", 6])}),
        model,
    )
    goldens = np.where(features < 0, np.float32("nan"), np.sqrt(np.abs(features)))
    path = tmp_path / "set.npz"
    write_samples(path, {"x": features}, {"y": goldens})

    assert check_samples(model, path, timeout_s=TIMEOUT_S).passed


def test_golden_for_an_output_that_is_not_there_is_a_broken_set(
    check: Callable[..., SampleCheck], scores: Array
) -> None:
    with pytest.raises(SamplesUnreadable, match="golden outputs for logits; the model gives scores"):
        check({"logits": scores})
    with pytest.raises(SamplesUnreadable, match="no golden outputs"):
        check({}, np.zeros(40, np.int64))


def test_inputs_the_model_refuses_are_an_inference_failure(tmp_path: Path, classifier: Path, scores: Array) -> None:
    path = tmp_path / "set.npz"
    write_samples(path, {"x": np.zeros((40, 5), np.float32)}, {"scores": scores})

    with pytest.raises(InferenceFailed, match="INVALID_ARGUMENT"):
        check_samples(classifier, path, timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("content", [b"", b"no model", None, "cut"])
def test_files_the_runtime_refuses_are_unloadable(
    tmp_path: Path, classifier: Path, content: bytes | str | None
) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(classifier.read_bytes()[:-30] if content == "cut" else bytes(content))  # type: ignore[arg-type]

    with pytest.raises(ModelUnloadable):
        load_check(path, timeout_s=TIMEOUT_S)


def test_load_check_binds_open_dimensions_to_one(classifier: Path) -> None:
    assert load_check(classifier, timeout_s=TIMEOUT_S) == LoadCheck({"x": (1, 6)}, {"scores": (1, 4)}, ())
    assert load_check(classifier, shapes={"x": (3, 6)}, timeout_s=TIMEOUT_S).output_shapes == {"scores": (3, 4)}


@pytest.mark.parametrize("shapes", [{"x": (3, 5)}, {"x": (6,)}, {"image": (1, 6)}])
def test_shapes_that_contradict_the_model_are_refused(classifier: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(RequestInvalid):
        load_check(classifier, shapes=shapes, timeout_s=TIMEOUT_S)


def test_output_that_is_not_finite_fails_the_load_check(tmp_path: Path, make_model: MakeModel) -> None:
    nodes = [helper.make_node("Sub", ["x", "x"], ["zero"]), helper.make_node("Div", ["zero", "zero"], ["y"])]
    path = tmp_path / "nan.onnx"
    onnx.save(make_model(nodes, inputs={"x": (1, ["N", 2])}, outputs={"y": (1, ["N", 2])}), path)

    found = load_check(path, timeout_s=TIMEOUT_S)

    assert not found.passed
    assert found.problem == "NaN or infinity in output y"


def test_strings_cannot_be_generated(tmp_path: Path, make_model: MakeModel) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    path = tmp_path / "text.onnx"
    text = (TensorProto.STRING, ["N"])
    onnx.save(make_model([node], inputs={"x": text}, outputs={"y": text}), path)

    with pytest.raises(RequestInvalid, match="cannot be generated"):
        load_check(path, timeout_s=TIMEOUT_S)


def test_accuracy_counts_every_labelled_sample(
    tmp_path: Path, classifier: Path, features: Array, scores: Array
) -> None:
    labels = scores.argmax(axis=1)
    labels[:10] = (labels[:10] + 1) % 4
    path = tmp_path / "dataset.npz"
    write_samples(path, {"x": features}, {}, labels)
    found = predict(classifier, path, timeout_s=TIMEOUT_S)

    assert (found.accuracy, found.n) == (0.75, 40)
    assert found.classes == tuple(scores.argmax(axis=1))
    assert found.ci95 == pytest.approx((0.598, 0.858), abs=0.001)
    assert len(found.dataset_sha256) == 64


def test_predictions_without_labels_have_no_accuracy(tmp_path: Path, classifier: Path, features: Array) -> None:
    path = tmp_path / "dataset.npz"
    write_samples(path, {"x": features}, {})
    found = predict(classifier, path, timeout_s=TIMEOUT_S)

    assert found.n == 40
    with pytest.raises(ValueError, match="no labels"):
        found.accuracy  # noqa: B018 - the look is the test


def test_memory_limit_ends_a_hungry_model_with_its_own_error(tmp_path: Path, make_model: MakeModel) -> None:
    """A few hundred bytes of file that ask for 800 MB when they run."""
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["wide"]),
        helper.make_node("ReduceSum", ["wide"], ["y"], keepdims=0),
    ]
    shape = np.array([200, 1_000_000], np.int64)
    path = tmp_path / "hungry.onnx"
    onnx.save(make_model(nodes, inputs={"x": (1, [1, 1])}, outputs={"y": (1, [])}, weights={"shape": shape}), path)

    with pytest.raises(MemoryExceeded):
        load_check(path, timeout_s=TIMEOUT_S, memory_limit_bytes=256 * 2**20)


def test_limit_below_what_the_runtime_needs_is_the_same_error(classifier: Path) -> None:
    with pytest.raises(MemoryExceeded, match="limit of 40 MiB"):
        load_check(classifier, timeout_s=TIMEOUT_S, memory_limit_bytes=40 * 2**20)


def test_child_does_not_inherit_our_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, classifier: Path) -> None:
    """A stand-in for the interpreter writes down the environment that a child is started with."""
    seen = tmp_path / "environment"
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nenv > "{seen}"\nexec "{sys.executable}" "$@"\n')
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    monkeypatch.setenv("SMALLFLEET_TOKEN", "sft_secret")

    assert load_check(classifier, timeout_s=TIMEOUT_S).passed
    assert "sft_secret" not in seen.read_text()
    assert "OPENBLAS_NUM_THREADS=1" in seen.read_text()


def test_child_that_dies_of_a_bug_is_a_crash_with_its_last_words() -> None:
    with pytest.raises(ChildCrashed, match=r"KeyError: .juggle") as caught:
        ask_child("juggle", {}, limits=Limits(TIMEOUT_S))
    assert caught.value.signal is None


@pytest.mark.parametrize("cls", error_classes().values())
def test_every_error_has_its_own_slug_title_and_exit_code(cls: type[BenchmarkError]) -> None:
    assert str(cls("what happened")) == "what happened"
    assert cls.title
    assert 0 < cls.exit_code < 126
    others = [other for other in error_classes().values() if other is not cls]
    assert cls.slug not in {other.slug for other in others}
    assert cls.exit_code not in {other.exit_code for other in others}
    assert RuntimeMissing.slug in error_classes()
