"""From a torch module to one self-contained ONNX file that has been compared with the module it came from."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from compression.errors import ExportMismatch
from compression.evaluation import predict_outputs

OPSET = 17
# Largest differences between torch and ONNX Runtime that sums in another order explain, by precision: this plus this part
# of the largest output. fp16 keeps 11 bits of each activation, and ONNX Runtime computes in fp32 where it has no kernel.
TOLERANCES = {torch.float32: (1e-6, 1e-4), torch.float16: (1e-4, 2e-2)}


def export_onnx(
    module: torch.nn.Module,
    path: Path,
    *,
    example: NDArray[np.float32],
    input_name: str,
    output_name: str,
    keep_normalisation: bool = False,
) -> None:
    """Export `module` (in eval mode) with a free first dimension `N`; check it and compare it on `example`.

    Batch normalisation after a convolution is folded into it, unless `keep_normalisation` leaves it in the graph, to train on from the file.

    Raises:
        ExportMismatch: ONNX Runtime and torch differ by more than `TOLERANCES` on `example`.
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
            do_constant_folding=not keep_normalisation,
            training=torch.onnx.TrainingMode.PRESERVE if keep_normalisation else torch.onnx.TrainingMode.EVAL,
            input_names=[input_name],
            output_names=[output_name],
            dynamic_axes={input_name: {0: "N"}, output_name: {0: "N"}},
        )
    onnx.checker.check_model(path, full_check=True)
    compare_with_torch(module, path, tensor)


def compare_with_torch(module: torch.nn.Module, path: Path, example: torch.Tensor, *, near_ties: float = 0.0) -> float:
    """Run the file and the module (in eval mode) on `example`; the largest difference, as a share of its output's largest value.

    `near_ties` is the share of an output's elements that may differ more: where a net remembers which of two nearly equal
    values was larger, the last bit decides.

    Raises:
        ExportMismatch: an output differs by more than `TOLERANCES` of the example's precision allow, in shape, or is not finite.
    """
    with torch.no_grad():
        answer = module(example)
    expected = [output.float().numpy() for output in (answer if isinstance(answer, tuple | list) else (answer,))]
    got = predict_outputs(path, example.numpy())
    if [output.shape for output in got] != [output.shape for output in expected]:
        raise ExportMismatch(
            f"{path.name}: ONNX Runtime gives shapes {[o.shape for o in got]}, torch {[o.shape for o in expected]}"
        )
    atol, rtol = TOLERANCES[example.dtype]
    largest = 0.0
    for ours, theirs in zip(got, expected, strict=True):
        if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
            raise ExportMismatch(
                f"{path.name}: NaN or infinity in an output, so ONNX Runtime and torch cannot be compared"
            )
        difference, scale = float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())
        allowed = atol + rtol * scale
        share = float(np.mean(np.abs(ours - theirs) > allowed))
        if share > near_ties:
            raise ExportMismatch(
                f"{path.name}: ONNX Runtime and torch differ by {difference:.2e}, allowed {allowed:.2e}, "
                f"in {share:.2%} of an output"
            )
        largest = max(largest, difference / scale if scale else difference)
    return largest
