"""Accuracy of an ONNX classifier, measured by ONNX Runtime on the very file that is shipped. No torch."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from compression.digits import LabelledImages

# Two-sided 95 % of the normal distribution.
Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of right answers with its 95 % Wilson interval."""

    value: float
    sample_count: int
    ci_low: float
    ci_high: float


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (E. B. Wilson, JASA 22, 1927), inside 0..1."""
    share = successes / trials
    centre = share + Z_95**2 / (2 * trials)
    spread = Z_95 * math.sqrt(share * (1 - share) / trials + Z_95**2 / (4 * trials**2))
    scale = 1 + Z_95**2 / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def predict_logits(model: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of the model's one output for float32 `images` of its one input, on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: images})
    return np.asarray(logits, dtype=np.float32)


def measure_accuracy(model: Path, held_out: LabelledImages) -> Accuracy:
    """Top-1 accuracy of `model` on `held_out`."""
    right = int((predict_logits(model, held_out.images).argmax(axis=1) == held_out.labels).sum())
    count = len(held_out.labels)
    ci_low, ci_high = wilson_interval(right, count)
    return Accuracy(value=right / count, sample_count=count, ci_low=ci_low, ci_high=ci_high)
