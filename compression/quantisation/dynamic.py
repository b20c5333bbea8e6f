"""Post-training int8 quantisation by ONNX Runtime whose activations are measured while it runs: nothing is calibrated. No torch."""

import tempfile
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from compression.quantisation.checks import read_model, require_float
from compression.quantisation.static import quiet


def quantise_dynamic(source: Path, target: Path, *, per_channel: bool = True) -> None:
    """Write `target`: `source` with int8 weights; each run finds the ranges of its own activations, which costs time.

    Raises:
        ModelUnusable: the file cannot be quantised.
    """
    require_float(source, read_model(source))
    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_dynamic(prepared, target, per_channel=per_channel, weight_type=QuantType.QInt8)
