"""Families of nets that a study searches: `FAMILIES` by the word that stands after `family` in a spec. No torch until a net is built.

A family is a frozen, slotted dataclass whose fields, made with `compression.steps.keys`, are the keys of the table `[space.net]`, and a `build`.
To add one: its class here, its line in `FAMILIES`, and what it builds in `nets` or anywhere else.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from compression.errors import RecipeInvalid
from compression.recipes.tables import suggestion
from compression.steps.keys import number, text, whole
from compression.zoo import ZOO
from compression.zoo.entry import NetShape

if TYPE_CHECKING:
    import dataclasses

    from torch import nn


class Family(Protocol):
    """The metaparameters of a family of architectures."""

    __dataclass_fields__: ClassVar[dict[str, "dataclasses.Field[Any]"]]

    def build(self, shape: NetShape) -> "nn.Module":
        """The net with these metaparameters, float32 [N, channels, height, width] to logits [N, classes].

        Raises:
            ValueError: there is no such net for this shape.
        """


@dataclass(frozen=True, slots=True)
class SqueezeNetFamily:
    """Fire modules by the metaparameters of section 5.1 of the SqueezeNet paper (Iandola et al., arXiv:1602.07360)."""

    fires: int = whole(4, 1, 32, "fire modules")
    stem_channels: int = whole(16, 1, 512, "filters of the first 3x3 convolution")
    base_e: int = whole(32, 1, 2048, "expand filters of the first fire module")
    incr_e: int = whole(32, 0, 2048, "how many more after every `freq` modules")
    freq: int = whole(2, 1, 32, "fire modules until there are more filters; the map is halved there too")
    squeeze_ratio: float = number(0.125, 0.001, 1, "squeeze filters by expand filters")
    pct_3x3: float = number(0.5, 0, 1, "share of 3x3 filters among the expand filters")
    width: float = number(1.0, 0.01, 16, "multiplies every number of filters")
    dropout: float = number(0.2, 0, 0.9, "share of activations dropped before the classifier, in training")

    def build(self, shape: NetShape) -> "nn.Module":
        """Build it."""
        from compression.squeezenet import Metaparameters
        from compression.study.nets import squeezenet

        meta = Metaparameters(
            self.base_e, self.incr_e, self.freq, self.pct_3x3, squeeze_ratio=self.squeeze_ratio, fires=self.fires
        )
        return squeezenet(shape, meta, stem_channels=self.stem_channels, width=self.width, dropout=self.dropout)


@dataclass(frozen=True, slots=True)
class MobileNetFamily:
    """Depthwise separable convolutions with a width multiplier (Howard et al., arXiv:1704.04861, section 3)."""

    layers: int = whole(6, 1, 64, "separable units after the first 3x3 convolution")
    base_channels: int = whole(32, 1, 512, "filters of the first stage; every further one has twice as many")
    per_stage: int = whole(2, 1, 64, "units of a stage; the map is halved between stages")
    width: float = number(1.0, 0.01, 16, "multiplies every number of filters")
    dropout: float = number(0.2, 0, 0.9, "share of activations dropped before the classifier, in training")

    def build(self, shape: NetShape) -> "nn.Module":
        """Build it."""
        from compression.study.nets import mobilenet

        return mobilenet(shape, **asdict(self))


@dataclass(frozen=True, slots=True)
class ConvnetFamily:
    """Plain convolutions in up to three stages: what every cleverer family is to be better than."""

    first: int = whole(16, 1, 1024, "filters of a convolution of the first stage")
    second: int = whole(32, 0, 1024, "of the second; 0 leaves it out")
    third: int = whole(64, 0, 1024, "of the third; 0 leaves it out")
    per_stage: int = whole(1, 1, 16, "convolutions of a stage; the map is halved between stages")
    kernel: int = whole(3, 1, 7, "side of the kernels in pixels, odd")
    dropout: float = number(0.2, 0, 0.9, "share of activations dropped before the classifier, in training")

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise RecipeInvalid(f"kernel: expected an odd number, got {self.kernel}")

    def build(self, shape: NetShape) -> "nn.Module":
        """Build it."""
        from compression.study.nets import convnet

        return convnet(shape, **asdict(self))


@dataclass(frozen=True, slots=True)
class ZooFamily:
    """The reference architectures of `smallfleet zoo`, as they stand in their papers; the choice among them is the parameter."""

    net: str = text("", "which one")

    def __post_init__(self) -> None:
        if self.net not in ZOO:
            raise RecipeInvalid(f"net: no such net {self.net!r}{suggestion(self.net, ZOO)}")
        if len(ZOO[self.net].outputs) != 1:
            raise RecipeInvalid(f"net: {self.net} has {len(ZOO[self.net].outputs)} outputs, a classifier has one")

    def build(self, shape: NetShape) -> "nn.Module":
        """Build it."""
        return ZOO[self.net].build(shape)


FAMILIES: dict[str, type[Family]] = {
    "squeezenet": SqueezeNetFamily,
    "mobilenet": MobileNetFamily,
    "convnet": ConvnetFamily,
    "zoo": ZooFamily,
}
