"""Local response normalisation that exports as the one ONNX operator it is; torch's own becomes thirty."""

from typing import Any

import torch
import torch.nn.functional
from torch import Tensor, nn


class _Lrn(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, x: Tensor, *settings: Any) -> Tensor:
        return torch.nn.functional.local_response_norm(x.float(), *settings).to(x.dtype)

    @staticmethod
    def symbolic(graph: Any, x: Any, *settings: Any) -> Any:
        size, alpha, beta, bias = settings
        return graph.op("LRN", x, size_i=size, alpha_f=alpha, beta_f=beta, bias_f=bias).setType(x.type())


class LocalResponseNorm(nn.LocalResponseNorm):
    """torch's, and ONNX's LRN when it is exported. Both divide alpha by the size, as Caffe does and the paper does not."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the same."""
        if torch.onnx.is_in_onnx_export():
            normed: Tensor = _Lrn.apply(x, self.size, self.alpha, self.beta, self.k)  # type: ignore[no-untyped-call]
            return normed
        return super().forward(x.float()).to(x.dtype)  # torch's has no kernel for fp16 on a processor
