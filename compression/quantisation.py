"""Post-training int8 quantisation by ONNX Runtime: static, QDQ, per channel, calibrated on given images. No torch."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class ImageReader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no annotations
    """Feeds float32 `images` to the calibrator in batches."""

    def __init__(self, input_name: str, images: NDArray[np.float32], batch: int = 64) -> None:
        self._batches: Iterator[dict[str, NDArray[np.float32]]] = (
            {input_name: images[start : start + batch]} for start in range(0, len(images), batch)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch by input name, None at the end."""
        return next(self._batches, None)


def quantise_int8(source: Path, target: Path, calibration: NDArray[np.float32], *, batch: int = 64) -> None:
    """Write `target`: `source` with int8 weights (one scale per output channel) and uint8 activations.

    The graph keeps `QuantizeLinear`/`DequantizeLinear` pairs, so any execution provider may fuse them as it can.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        input_name = onnx.load(source).graph.input[0].name
        quantize_static(
            prepared,
            target,
            ImageReader(input_name, calibration, batch),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
