"""Post-training int8 quantisation by ONNX Runtime: static, QDQ, calibrated on given samples. No torch."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from compression.datasets import Samples
from compression.errors import ModelUnusable
from compression.quantisation.checks import batch_of, read_model, require_fit, require_float

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


class SampleReader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no annotations
    """Feeds samples to the calibrator in batches."""

    def __init__(self, samples: Samples, batch: int) -> None:
        # A model with a fixed batch cannot take what is left over.
        whole = len(samples) - len(samples) % batch if len(samples) >= batch else len(samples)
        starts = range(0, whole, batch)
        self._batches = iter([dict(samples.take(slice(start, start + batch)).inputs) for start in starts])

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        """The next batch by input name, None at the end."""
        return next(self._batches, None)


def quantise_int8(source: Path, target: Path, calibration: NDArray[np.float32], *, batch: int = 64) -> None:
    """`quantise_static` of a model with one input, whose name does not matter, with ranges from smallest to largest."""
    input_name = onnx.load(source).graph.input[0].name
    quantise_static(source, target, Samples({input_name: calibration}, None), batch=batch)


def quantise_static(
    source: Path,
    target: Path,
    calibration: Samples,
    *,
    method: str = "minmax",
    percentile: float = 99.99,
    per_channel: bool = True,
    exclude: Sequence[str] = (),
    batch: int = 64,
) -> None:
    """Write `target`: `source` with int8 weights (one scale per output channel) and uint8 activations.

    The graph keeps `QuantizeLinear`/`DequantizeLinear` pairs, so any execution provider may fuse them as it can. The range of an activation is
    what calibration showed (`minmax`), that without the rarest values (`percentile`), or the one that loses least by Kullback-Leibler divergence
    (`entropy`; S. Migacz, GTC 2017). `exclude` names nodes that stay in float32.

    Raises:
        ModelUnusable: the file cannot be quantised, or a node that is to be left alone does not exist.
        DataUnusable: the samples do not fit.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        prepare(source, prepared)
        quantise_prepared(
            prepared,
            target,
            calibration,
            method=method,
            percentile=percentile,
            per_channel=per_channel,
            exclude=exclude,
            batch=batch,
        )


def prepare(source: Path, target: Path) -> None:
    """Write `target`: `source` as ONNX Runtime folds and fuses it before it quantises, still in float32.

    Raises:
        ModelUnusable: the file cannot be quantised.
    """
    require_float(source, read_model(source))
    with quiet():
        quant_pre_process(source, target, skip_symbolic_shape=True)


def quantise_prepared(
    source: Path,
    target: Path,
    calibration: Samples,
    *,
    method: str = "minmax",
    percentile: float = 99.99,
    per_channel: bool = True,
    exclude: Sequence[str] = (),
    batch: int = 64,
) -> None:
    """`quantise_static` of a file that `prepare` wrote."""
    model = read_model(source)
    require_fit(source, model, calibration)
    names = {node.name for node in model.graph.node}
    for name in exclude:
        if name not in names:
            raise ModelUnusable(f"{source.name} has no node {name!r} to exclude")
    extra = {"CalibPercentile": percentile} if method == "percentile" else None
    with quiet():
        quantize_static(
            source,
            target,
            SampleReader(calibration, min(batch_of(model, batch), len(calibration))),
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(exclude) or None,
            calibrate_method=METHODS[method],
            **({"extra_options": extra} if extra else {}),
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep ONNX Runtime's quantiser from telling the root logger that models can be prepared first (they have been), and from printing."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)
