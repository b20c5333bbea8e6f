"""Every operator gives what ONNX's own node tests expect of it: their inputs, attributes and expected outputs, for all operator sets they have."""

import importlib
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx.backend.test.case import node as official
from onnx.backend.test.case.test_case import TestCase

from compression.onnx_torch import OnnxNet

MODULES = """
abs acos acosh add and_ argmax argmin asin asinh atan atanh averagepool batch_normalization cast ceil celu clip concat constant
constantofshape conv convinteger convtranspose cos cosh cumsum depthtospace dequantizelinear div dropout dynamicquantizelinear einsum elu
equal erf exp expand eyelike flatten floor gather gatherelements gathernd gelu gemm globalaveragepool globalmaxpool greater
greater_or_equal groupnormalization gru hardmax hardsigmoid hardswish identity instance_normalization isinf isnan layernormalization
leakyrelu less less_or_equal log logsoftmax lpnormalization lrn lstm matmul matmulinteger max maxpool maxunpool mean
meanvariancenormalization min mish mod mul neg nonzero onehot or_ pad pow prelu qlinearconv qlinearmatmul quantizelinear
reciprocal reduce_log_sum reduce_log_sum_exp reducel1 reducel2 reducemax reducemean reducemin reduceprod reducesum
reducesumsquare relu reshape resize rmsnormalization rnn round scatterelements scatternd selu shape shrink sigmoid sign sin sinh size
slice softmax softplus softsign spacetodepth split sqrt squeeze sub sum swish tan tanh thresholdedrelu tile topk transpose trilu
unsqueeze upsample where xor
""".split()  # noqa: SIM905 - names one below the other would be 130 lines
# Parts of the names of cases that are no promise of this package.
LEFT_OUT = {
    "test_training_dropout": "numpy's random numbers",
    **dict.fromkeys(("FLOAT8", "float8", "e4m3", "e5m2", "e8m0", "E8M0", "FLOAT4", "float4"), "floats of 8 and 4 bits"),
    **dict.fromkeys(("INT2", "int2"), "integers of 2 bits"),
    **dict.fromkeys(("INT4",), "computing with integers of 4 bits; stored ones are fine"),
    **dict.fromkeys(("STRING", "string"), "strings"),
    **dict.fromkeys(("_opt", "_sequence"), "optionals and sequences"),
    "empty_set": "the greatest of nothing",
}


def _cases(module: str) -> list[TestCase]:
    """Importing a module of these makes its cases, with warnings about the infinities it is about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = len(official._NodeTestCases)
        name = f"onnx.backend.test.case.node.{module}"
        importlib.import_module(name)
        if len(official._NodeTestCases) > before:
            _MADE[module] = official._NodeTestCases[before:]
    return [case for case in _MADE[module] if not any(part in case.name for part in LEFT_OUT)]


_MADE: dict[str, list[TestCase]] = {}


@pytest.mark.parametrize("module", MODULES)
def test_operator_gives_the_outputs_that_onnx_expects(module: str) -> None:
    cases = _cases(module)
    assert cases
    for case in cases:
        assert case.model is not None
        net = OnnxNet(case.model)
        for inputs, expected in case.data_sets or ():
            feeds = {port.name: _tensor(array) for port, array in zip(net.inputs, inputs, strict=True)}
            with torch.no_grad():
                found = net(feeds)
            for port, array in zip(net.outputs, expected, strict=True):
                wanted, given = _plain(array), found[port.name].detach().numpy()
                assert given.shape == wanted.shape, case.name
                # What is half precision is computed in single precision here.
                coarse = port.dtype in (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
                np.testing.assert_allclose(
                    given,
                    wanted,
                    rtol=max(case.rtol, 1e-2 if coarse else 0),
                    atol=max(case.atol, 1e-5),
                    err_msg=case.name,
                )


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(_plain(array), order="C"))


def _plain(given: Any) -> NDArray[Any]:
    """bfloat16 and 4-bit integers as types that numpy itself knows; some cases hold ONNX tensors in place of arrays."""
    array = np.asarray(onnx.numpy_helper.to_array(given) if isinstance(given, onnx.TensorProto) else given)
    if array.dtype.kind in "buif" and array.dtype.type.__module__ == "numpy":
        return array
    return array.astype(np.float32 if "float" in str(array.dtype) else np.int8)
