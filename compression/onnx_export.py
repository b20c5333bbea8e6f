"""From a torch module to one self-contained ONNX file that has been compared with the module it came from."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from compression.evaluation import predict_logits

OPSET = 17
# Largest difference between torch and ONNX Runtime that float32 sums in another order explain here.
EXPORT_ATOL = 1e-4


class ExportMismatchError(Exception):
    """The exported file does not compute what the module computes."""


def export_onnx(
    module: torch.nn.Module, path: Path, *, example: NDArray[np.float32], input_name: str, output_name: str
) -> None:
    """Export `module` (in eval mode) with a free first dimension `N`; check it and compare it on `example`.

    Raises:
        ExportMismatchError: ONNX Runtime and torch differ by more than `EXPORT_ATOL` on `example`.
    """
    tensor = torch.from_numpy(example)
    with warnings.catch_warnings():
        # The TorchScript exporter says it is not the newest; it needs no further package and keeps parameter names.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            module,
            (tensor,),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=[output_name],
            dynamic_axes={input_name: {0: "N"}, output_name: {0: "N"}},
        )
    onnx.checker.check_model(path, full_check=True)
    with torch.no_grad():
        expected = module(tensor).numpy()
    difference = float(np.abs(predict_logits(path, example) - expected).max())
    if difference > EXPORT_ATOL:
        raise ExportMismatchError(
            f"{path.name}: ONNX Runtime and torch differ by {difference:.2e}, allowed {EXPORT_ATOL}"
        )
