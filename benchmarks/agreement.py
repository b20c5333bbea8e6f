"""Comparing what a model answers with what it should answer. Child side (numpy)."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.samples import Array

_FAILURES_KEPT = 5


@dataclass(slots=True)
class Agreement:
    """Running comparison of one output of one model, sample by sample.

    `max_abs_error` is over finite values, in float64. A wrong shape, a wrong dtype, or a NaN or infinity where the
    golden output has none (or the other way round) is a failure, whatever the tolerance.
    """

    atol: float
    rtol: float
    max_abs_error: float = 0.0
    within_tolerance: bool = True
    failures: list[str] = field(default_factory=list)

    def compare(self, where: str, actual: Any, golden: Array) -> None:
        """Take one sample's output and its golden output, both without or both with the batch axis."""
        problem = _mismatch(actual, golden)
        if problem:
            self._fail(f"{where}: {problem}")
            return
        if golden.dtype.kind not in "fiub":
            self.within_tolerance &= bool(np.array_equal(actual, golden))
            return
        finite = np.isfinite(golden)
        expected = golden[finite].astype(np.float64)
        error = np.abs(actual[finite].astype(np.float64) - expected)
        if error.size:
            self.max_abs_error = max(self.max_abs_error, float(error.max()))
            self.within_tolerance &= bool((error <= self.atol + self.rtol * np.abs(expected)).all())

    def _fail(self, message: str) -> None:
        self.within_tolerance = False
        if len(self.failures) < _FAILURES_KEPT:
            self.failures.append(message)


def _mismatch(actual: Any, golden: Array) -> str | None:
    """What makes the two incomparable, or None."""
    if not isinstance(actual, np.ndarray):
        return f"the output is a {type(actual).__name__}, not a tensor"
    if actual.dtype != golden.dtype:
        return f"dtype is {actual.dtype}, golden is {golden.dtype}"
    if actual.shape != golden.shape:
        return f"shape is {list(actual.shape)}, golden is {list(golden.shape)}"
    if actual.dtype.kind == "f" and not _same_non_finite(actual, golden):
        return "NaN or infinity where the golden output has another value"
    return None


def _same_non_finite(actual: Array, golden: Array) -> bool:
    odd = ~(np.isfinite(actual) & np.isfinite(golden))
    return bool(np.array_equal(actual[odd], golden[odd], equal_nan=True))


def golden_of(golden: Array, index: int, actual: Any) -> Array:
    """The golden output of one sample, with the batch axis exactly where the model's output has one."""
    stacked = isinstance(actual, np.ndarray) and actual.ndim == golden.ndim - 1
    sample: Array = golden[index] if stacked else golden[index : index + 1]
    return sample


def is_scores(array: Any) -> bool:
    """Whether an output is float class scores with a batch axis: [1, classes], classes > 1."""
    return isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] > 1
