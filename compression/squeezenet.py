"""SqueezeNets, and classifiers in their style: fire modules, global average pooling instead of dense layers.

Follows Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (arXiv:1602.07360), section 3: a
1x1 *squeeze* feeds 1x1 and 3x3 *expand* convolutions whose outputs are concatenated. Batch normalisation after every
convolution is ours and can be left out; it lets such a net train in a few epochs and is folded away for export. The nets of the paper
and of its repository are built by `compression.zoo.nets.squeezenet`.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ConvUnit(nn.Module):
    """Convolution, batch normalisation unless `norm` is false, ReLU; a stride of 1 keeps the size unless `padding` says otherwise."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        norm: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=padding)
        self.norm: nn.Module = nn.BatchNorm2d(channels_out) if norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, in, H, W] to [N, out, H, W]."""
        return torch.relu(self.norm(self.conv(x)))

    def fold(self) -> None:
        """Fold the normalisation into the convolution, in place; the module must be in eval mode."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class Fire(nn.Module):
    """Squeeze to `squeeze` channels, expand to `expand1x1` and `expand3x3` (as many, where it is not said), of which one may be 0."""

    def __init__(
        self, channels_in: int, squeeze: int, expand1x1: int, expand3x3: int | None = None, *, norm: bool = True
    ) -> None:
        super().__init__()
        expand3x3 = expand1x1 if expand3x3 is None else expand3x3
        self.channels = expand1x1 + expand3x3
        self.squeeze = ConvUnit(channels_in, squeeze, 1, norm=norm)
        self.expand1x1 = ConvUnit(squeeze, expand1x1, 1, norm=norm) if expand1x1 else None
        self.expand3x3 = ConvUnit(squeeze, expand3x3, 3, norm=norm) if expand3x3 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, in, H, W] to [N, expand1x1 + expand3x3, H, W]."""
        squeezed = self.squeeze(x)
        expands = [expand(squeezed) for expand in (self.expand1x1, self.expand3x3) if expand is not None]
        return torch.cat(expands, dim=1) if len(expands) > 1 else expands[0]


@dataclass(frozen=True, slots=True)
class SqueezeNetShape:
    """What distinguishes one net of the family from another.

    Attributes:
        classes: number of logits.
        stem_channels: channels after the first convolution.
        stages: per stage the fire modules as (squeeze, expand1x1, expand3x3), or (squeeze, expand) where both are the same; a
            max pooling stands between stages.
        dropout: share of activations dropped before the classifier, in training only.
        channels: of the image.
        stem_kernel, stem_stride, stem_padding: of the first convolution; without a padding, a stride of 1 keeps the size.
        stem_pooled: whether a max pooling stands before the first stage too.
        pool: 2 for pooling of 2x2, 3 for overlapping pooling of 3x3; both halve.
        norm: whether batch normalisation follows every convolution but the last.
    """

    classes: int
    stem_channels: int
    stages: tuple[tuple[tuple[int, ...], ...], ...]
    dropout: float = 0.2
    channels: int = 1
    stem_kernel: int = 3
    stem_stride: int = 1
    stem_padding: int | None = None
    stem_pooled: bool = False
    pool: int = 2
    norm: bool = True


@dataclass(frozen=True, slots=True)
class Metaparameters:
    """The five numbers that a SqueezeNet's fire modules follow from (Iandola et al. 2016, section 5.1), and how many there are.

    Fire module i, counted from 0, expands to e = base_e + incr_e * floor(i / freq) channels, of which round(pct_3x3 * e) have 3x3 filters,
    and squeezes to round(squeeze_ratio * e), at least one. The defaults are those of SqueezeNet 1.0 and 1.1.
    """

    base_e: int = 128
    incr_e: int = 128
    freq: int = 2
    pct_3x3: float = 0.5
    squeeze_ratio: float = 0.125
    fires: int = 8

    def __post_init__(self) -> None:
        if min(self.base_e, self.freq, self.fires) < 1 or self.incr_e < 0:
            raise ValueError(f"base_e, freq and fires are at least 1, incr_e at least 0: {self}")
        if not 0 <= self.pct_3x3 <= 1 or not 0 < self.squeeze_ratio <= 1:
            raise ValueError(f"pct_3x3 is from 0 to 1, squeeze_ratio above 0 and at most 1: {self}")

    def modules(self, *, width: float = 1.0) -> tuple[tuple[int, int, int], ...]:
        """Every fire module as (squeeze, expand1x1, expand3x3), with `width` times the channels."""
        found = []
        for number in range(self.fires):
            expand = max(1, round(width * (self.base_e + self.incr_e * (number // self.freq))))
            three = round(self.pct_3x3 * expand)
            found.append((max(1, round(self.squeeze_ratio * expand)), expand - three, three))
        return tuple(found)


class SqueezeNet(nn.Module):
    """A classifier of the given shape: float32 [N, channels, H, W] to logits [N, classes]."""

    def __init__(self, shape: SqueezeNetShape) -> None:
        super().__init__()
        stem = ConvUnit(
            shape.channels,
            shape.stem_channels,
            shape.stem_kernel,
            stride=shape.stem_stride,
            padding=shape.stem_padding,
            norm=shape.norm,
        )
        layers: list[nn.Module] = [stem]
        channels = shape.stem_channels
        for index, stage in enumerate(shape.stages):
            if index or shape.stem_pooled:
                layers.append(nn.MaxPool2d(2) if shape.pool == 2 else nn.MaxPool2d(shape.pool, 2, ceil_mode=True))
            for sizes in stage:
                fire = Fire(channels, *sizes, norm=shape.norm)
                layers.append(fire)
                channels = fire.channels
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(shape.dropout)
        self.classifier = nn.Conv2d(channels, shape.classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, channels, H, W] to float32 [N, classes]."""
        scores: torch.Tensor = self.classifier(self.dropout(self.features(x)))
        return scores.mean(dim=(2, 3))

    def fold_normalisation(self) -> None:
        """Fold every batch normalisation into its convolution, in place; switches to eval mode."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvUnit):
                module.fold()
