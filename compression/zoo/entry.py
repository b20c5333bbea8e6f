"""What the zoo knows of a net: how it is built, what a paper says it weighs, and why ours weighs something else. No torch.

Rows of nets stand in modules that import no torch, so that the list is there at once; the nets themselves stand in `nets/`,
which `net_of` imports when one is built.
"""

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

MB = 10**6
MIB = 2**20
OVERVIEW = 'Iandola, Keutzer, "Small Neural Nets Are Beautiful", ESWEEK 2017, arXiv:1710.02759'

Dtype = Literal["float32", "float16"]
DTYPE_BYTES: Mapping[Dtype, int] = MappingProxyType({"float32": 4, "float16": 2})


@dataclass(frozen=True, slots=True)
class NetShape:
    """What a net is built for: the size of one input image and how many classes it tells apart."""

    channels: int = 3
    height: int = 224
    width: int = 224
    classes: int = 1000

    def __post_init__(self) -> None:
        if min(self.channels, self.height, self.width, self.classes) < 1:
            raise ValueError(f"channels, height, width and classes are at least 1: {self}")


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a net comes from and what is said of its size.

    Attributes:
        citation: authors, title, venue, arXiv number of the paper that defines the net.
        section: where in it the layers stand ("table 1"), and the model file where the paper leaves something open.
        figure: the size as it is quoted, such as "240 MB" or "95-96 MB".
        paper_bytes: the same as a number, an "MB" taken as 10^6 bytes; the middle where a range is quoted; None where no
            size is.
        quoted_in: the paper that quotes the size.
    """

    citation: str
    section: str
    figure: str
    paper_bytes: int | None
    quoted_in: str = OVERVIEW


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """A net of the zoo.

    Attributes:
        name: as `smallfleet zoo` takes it.
        title: for people.
        build: the torch module for a shape, with torch's own initialisation; `net_of` makes it so that torch is
            imported at the first call.
        paper: what the literature says.
        shape: the input and classes for which the paper gives its size.
        explanation: why our figure is the paper's or is not. `{param_count:,}`, `{param_bytes:,}`, `{mb:.2f}`,
            `{mib:.2f}`, `{paper_mb:.1f}` and `{ratio:.3f}` stand for what was counted in the exported file.
        dtype: of the weights in the file, as the paper counts them.
        smallest: a shape at which the net is built and run in moments.
        outputs: names of the outputs, in the module's order.
        near_ties: share of an output that may differ between ONNX Runtime and torch by more than rounding explains, since
            the net remembers where its poolings found their maxima.
    """

    name: str
    title: str
    build: Callable[[NetShape], "nn.Module"]
    paper: Paper
    shape: NetShape
    explanation: str
    dtype: Dtype = "float32"
    smallest: NetShape = NetShape(height=64, width=64, classes=10)
    outputs: tuple[str, ...] = ("logits",)
    near_ties: float = 0.0

    def ratio(self, param_bytes: int) -> float | None:
        """What was counted as a part of the paper's figure; None where there is no figure."""
        return None if self.paper.paper_bytes is None else param_bytes / self.paper.paper_bytes

    def explain(self, *, param_count: int, param_bytes: int) -> str:
        """The explanation with the counted figures in it."""
        return self.explanation.format(
            param_count=param_count,
            param_bytes=param_bytes,
            mb=param_bytes / MB,
            mib=param_bytes / MIB,
            paper_mb=math.nan if self.paper.paper_bytes is None else self.paper.paper_bytes / MB,
            ratio=self.ratio(param_bytes) or math.nan,
        )


def net_of(module: str, function: str, **options: Any) -> Callable[[NetShape], "nn.Module"]:
    """A builder that imports `compression.zoo.nets.<module>` when it is called and calls `function(shape, **options)`."""

    def build(shape: NetShape) -> "nn.Module":
        net: nn.Module = getattr(importlib.import_module(f"compression.zoo.nets.{module}"), function)(shape, **options)
        return net

    return build
