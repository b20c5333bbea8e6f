"""SqueezeNet: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", arXiv:1602.07360.

Version 1.0 is table 1 with the padding and pooling of the authors' Caffe files; 1.1 is from their repository (3x3 stem, pooling earlier:
2.4 times fewer MACs). The modules are those of `compression.squeezenet`; here are the two layouts and what may be varied about them. The
authors' ReLU behind the last convolution is left out: it hides which of the classes that lost was nearest.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import nn

from compression.squeezenet import Fire, Metaparameters, SqueezeNet, SqueezeNetShape
from compression.zoo.entry import NetShape

# Number of fire modules before each pooling, of eight.
_POOLED_AFTER = {"1.0": (3, 7), "1.1": (2, 4)}
_STEM_CHANNELS = {"1.0": 96, "1.1": 64}
_STEM_KERNEL = {"1.0": 7, "1.1": 3}
SMALL_IMAGE = 64
"""Images with a shorter side keep their size through the first convolution, which is 3x3 for them, and are not pooled right behind it."""


def squeezenet(
    shape: NetShape,
    *,
    version: str = "1.1",
    width: float = 1.0,
    metaparameters: Metaparameters | None = None,
    norm: bool = False,
    dropout: float = 0.5,
) -> SqueezeNet:
    """SqueezeNet for `shape`, with `width` times the channels of every layer.

    The two poolings between fire modules keep their places in proportion where there are more or fewer than eight. With `norm`, batch
    normalisation follows every convolution but the last (the paper has none); `fold_normalisation` removes it for export.

    Raises:
        ValueError: no such version, or a width that leaves no channel.
    """
    if version not in _STEM_CHANNELS:
        raise ValueError(f"SqueezeNet has versions {', '.join(_STEM_CHANNELS)}, not {version!r}")
    if not width > 0:
        raise ValueError(f"the width is above 0, not {width}")
    chosen = metaparameters or Metaparameters()
    modules = chosen.modules(width=width)
    cuts = (0, *(round(after * chosen.fires / 8) for after in _POOLED_AFTER[version]), chosen.fires)
    stages = tuple(modules[start:end] for start, end in pairwise(accumulate(cuts, max)) if end > start)
    small = min(shape.height, shape.width) < SMALL_IMAGE
    return SqueezeNet(
        SqueezeNetShape(
            classes=shape.classes,
            stem_channels=max(1, round(width * _STEM_CHANNELS[version])),
            stages=stages,
            dropout=dropout,
            channels=shape.channels,
            stem_kernel=3 if small else _STEM_KERNEL[version],
            stem_stride=1 if small else 2,
            stem_padding=None if small else 0,
            stem_pooled=not small,
            pool=3,
            norm=norm,
        )
    )


class Features(nn.Module):
    """What some fire modules of a SqueezeNet see, for comparing images by it: float32 [N, C, H, W] to one map each."""

    def __init__(self, net: SqueezeNet, fires: Sequence[int]) -> None:
        super().__init__()
        places = [place for place, layer in enumerate(net.features) if isinstance(layer, Fire)]
        if not fires or max(fires) >= len(places) or min(fires) < 0:
            raise ValueError(f"the net has fire modules 0 to {len(places) - 1}, not all of {list(fires)}")
        self.wanted = [places[fire] for fire in fires]
        # Nothing behind the last one is needed.
        self.layers = nn.ModuleList(list(net.features)[: max(self.wanted) + 1])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The maps in the order in which their fire modules were asked for."""
        seen = {}
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if place in self.wanted:
                seen[place] = x
        return tuple(seen[place] for place in self.wanted)


def squeezenet_features(shape: NetShape, *, fires: Sequence[int] = (1, 3, 5, 7), version: str = "1.1") -> Features:
    """What fire modules of an untrained SqueezeNet see; by default the second of every pair, which its authors call fire3, 5, 7 and 9."""
    return Features(squeezenet(shape, version=version), fires)
