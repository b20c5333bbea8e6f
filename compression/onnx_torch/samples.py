"""Samples and the inputs of a net: do they fit, and the one as the other."""

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.datasets import Samples
from compression.errors import DataUnusable
from compression.onnx_torch.net import OnnxNet, Port


def check_samples(net: OnnxNet, samples: Samples) -> None:
    """Refuse samples that the net cannot be fed with.

    Raises:
        DataUnusable: a name, type or shape differs; the message names the input and says what is expected and what is there.
    """
    names, given = [port.name for port in net.inputs], list(samples.inputs)
    if sorted(names) != sorted(given):
        raise DataUnusable(f"the model's inputs are {', '.join(names)}; the samples have {', '.join(given)}")
    if len(samples) == 0:
        raise DataUnusable("there are no samples")
    for port in net.inputs:
        _check_array(port, samples.inputs[port.name])


def feeds_of(samples: Samples) -> dict[str, Tensor]:
    """The samples' inputs as tensors that share their memory."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in samples.inputs.items()}


def _check_array(port: Port, array: NDArray[Any]) -> None:
    wanted = onnx.helper.tensor_dtype_to_np_dtype(port.dtype)
    if array.dtype != wanted:
        raise DataUnusable(f"input {port.name} takes {wanted}, the samples have {array.dtype}")
    if port.shape is None:
        return
    fits = len(port.shape) == array.ndim and all(
        not isinstance(size, int) or size == found for size, found in zip(port.shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        shape = ", ".join(str(size or "?") for size in port.shape)
        found = ", ".join(str(size) for size in array.shape[1:])
        raise DataUnusable(f"input {port.name} takes [{shape}], the samples are N times [{found}]")
