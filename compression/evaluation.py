"""How good an ONNX file is: measured by the ruler in a process of its own, on the very file that is shipped. No torch.

`predict_logits` is for golden outputs and for comparing a file with the net it came from; it claims nothing.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.accuracy import Predictions, predict
from benchmarks.errors import BenchmarkError, SamplesUnreadable
from compression.datasets import Samples, write_samples_file
from compression.errors import DataUnusable, ModelUnusable

TIMEOUT_S = 3600.0


def predict_classes(model: Path, samples: Samples) -> Predictions:
    """What the model answers for every sample, one at a time, and how much of it is right where the samples are labelled.

    Raises:
        DataUnusable: the samples do not fit the model's inputs, or its output is no class scores.
        ModelUnusable: the runtime refuses or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "samples.npz"
        write_samples_file(dataset, samples)
        try:
            return predict(model, dataset, timeout_s=TIMEOUT_S)
        except SamplesUnreadable as error:
            raise DataUnusable(f"{model.name}: {error}") from error
        except BenchmarkError as error:
            raise ModelUnusable(f"{model.name}: {error}") from error


def predict_logits(model: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of the model's one output for float32 `images` of its one input, on one CPU thread."""
    (logits,) = predict_outputs(model, images)
    return logits


def predict_outputs(model: Path, images: NDArray[np.floating]) -> list[NDArray[np.float32]]:
    """Every output of the model, in its order and as float32, for `images` of its one input, on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: images})
    return [np.asarray(output, dtype=np.float32) for output in outputs]
