"""Does a model do what it should? Parent side: each question goes to a child process and comes back as a value.

`check_samples` is the smoke run of an installation: the model loads, and golden inputs give golden outputs.
`load_check` is what remains where a model has no sample set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process import Limits, ask_child


@dataclass(frozen=True, slots=True)
class SampleCheck:
    """How a model's outputs compare with the golden ones.

    `agreement` is the share of samples whose highest score is at the golden place, `accuracy` the share where it is at
    the label, with its Wilson interval; None where the outputs are no class scores, or there are no labels.
    `failures` (the first few) are wrong shapes, wrong dtypes, and NaN or infinity where none should be. `inputs` and
    `outputs` are the names that the model declares.
    """

    n: int
    max_abs_error: float
    within_tolerance: bool
    agreement: float | None
    accuracy: float | None
    accuracy_ci95: tuple[float, float] | None
    failures: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    min_agreement: float | None = None

    @property
    def passed(self) -> bool:
        """Within tolerance, or, where the publisher allows it, in agreement often enough; never with a failure."""
        if self.failures:
            return False
        agrees = self.min_agreement is not None and self.agreement is not None and self.agreement >= self.min_agreement
        return self.within_tolerance or agrees

    @property
    def problem(self) -> str | None:
        """Why it did not pass, in one line, or None."""
        if self.passed:
            return None
        if self.failures:
            return self.failures[0]
        error = f"outputs differ from the golden ones by up to {self.max_abs_error:.3g}"
        if self.min_agreement is None:
            return f"{error}, more than the tolerance"
        agreement = "cannot be judged" if self.agreement is None else f"is {self.agreement:.4f}"
        return f"{error}, and agreement {agreement}, wanted {self.min_agreement:g}"


@dataclass(frozen=True, slots=True)
class LoadCheck:
    """One inference on generated inputs: the shapes used and given, and the outputs that were not finite."""

    input_shapes: Mapping[str, tuple[int, ...]]
    output_shapes: Mapping[str, tuple[int, ...]]
    not_finite: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Every output was finite."""
        return not self.not_finite

    @property
    def problem(self) -> str | None:
        """Why it did not pass, in one line, or None."""
        return None if self.passed else f"NaN or infinity in output {', '.join(self.not_finite)}"


def check_samples(
    model: Path,
    samples: Path,
    *,
    atol: float = 1e-3,
    rtol: float = 1e-3,
    min_agreement: float | None = None,
    intra_op: int = 1,
    timeout_s: float,
    memory_limit_bytes: int | None = None,
    nice: int = 0,
) -> SampleCheck:
    """Run every sample through the model in a child process and compare it with the golden outputs.

    An output passes within `atol + rtol * |golden|`, elementwise. With `min_agreement` (a share) it is enough that this
    share of samples has its highest score where the golden one has: variants of a version share the goldens of fp32.

    Raises:
        ModelUnloadable: the model does not load.
        SamplesUnreadable: the sample set is broken or made for another model.
        InferenceFailed: the model refuses an input.
        ChildTimedOut, ChildCrashed, MemoryExceeded: the child did not live to answer.
    """
    request = {
        "model": str(model.absolute()),
        "samples": str(samples.absolute()),
        "atol": atol,
        "rtol": rtol,
        "intra_op": intra_op,
    }
    limits = Limits(timeout_s, memory_limit_bytes, nice, intra_op)
    answer = ask_child("check-samples", request, limits=limits)
    return SampleCheck(
        n=answer["n"],
        max_abs_error=answer["max_abs_error"],
        within_tolerance=answer["within_tolerance"],
        agreement=answer["agreement"],
        accuracy=answer["accuracy"],
        accuracy_ci95=_pair(answer["accuracy_ci95"]),
        failures=tuple(answer["failures"]),
        inputs=tuple(answer["inputs"]),
        outputs=tuple(answer["outputs"]),
        min_agreement=min_agreement,
    )


def load_check(
    model: Path,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    intra_op: int = 1,
    timeout_s: float,
    memory_limit_bytes: int | None = None,
    nice: int = 0,
) -> LoadCheck:
    """Load the model in a child process and run one inference on generated inputs.

    Open dimensions are bound to 1 unless `shapes` says otherwise.

    Raises:
        BenchmarkError: as `check_samples`, and RequestInvalid when `shapes` does not fit the model.
    """
    request = {
        "model": str(model.absolute()),
        "shapes": {name: list(shape) for name, shape in (shapes or {}).items()},
        "seed": 0,
        "intra_op": intra_op,
    }
    answer = ask_child("load-check", request, limits=Limits(timeout_s, memory_limit_bytes, nice, intra_op))
    return LoadCheck(_shapes(answer["input_shapes"]), _shapes(answer["output_shapes"]), tuple(answer["not_finite"]))


def _pair(values: Any) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))


def _shapes(shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in shapes.items()}
