"""SqueezeNet-style classifiers: fire modules with batch normalisation, global average pooling instead of dense layers.

Follows Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (arXiv:1602.07360), section 3: a
1x1 *squeeze* feeds 1x1 and 3x3 *expand* convolutions whose outputs are concatenated. Batch normalisation after every
convolution is ours; it lets such a net train in a few epochs and is folded away for export.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ConvUnit(nn.Module):
    """Convolution, batch normalisation, ReLU; same spatial size out as in."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.norm: nn.Module = nn.BatchNorm2d(channels_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, in, H, W] to [N, out, H, W]."""
        return torch.relu(self.norm(self.conv(x)))

    def fold(self) -> None:
        """Fold the normalisation into the convolution, in place; the module must be in eval mode."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class Fire(nn.Module):
    """Squeeze to `squeeze` channels, expand to `2 * expand`."""

    def __init__(self, channels_in: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = ConvUnit(channels_in, squeeze, 1)
        self.expand1x1 = ConvUnit(squeeze, expand, 1)
        self.expand3x3 = ConvUnit(squeeze, expand, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, in, H, W] to [N, 2 * expand, H, W]."""
        squeezed = self.squeeze(x)
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1)


@dataclass(frozen=True, slots=True)
class SqueezeNetShape:
    """What distinguishes one net of the family from another.

    Attributes:
        classes: number of logits.
        stem_channels: channels after the first 3x3 convolution.
        stages: per stage the fire modules as (squeeze, expand); a 2x2 max pooling stands between stages.
        dropout: share of activations dropped before the classifier, in training only.
    """

    classes: int
    stem_channels: int
    stages: tuple[tuple[tuple[int, int], ...], ...]
    dropout: float = 0.2


class SqueezeNet(nn.Module):
    """A grey-image classifier of the given shape: float32 [N, 1, H, W] to logits [N, classes]."""

    def __init__(self, shape: SqueezeNetShape) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvUnit(1, shape.stem_channels, 3)]
        channels = shape.stem_channels
        for index, stage in enumerate(shape.stages):
            if index:
                layers.append(nn.MaxPool2d(2))
            for squeeze, expand in stage:
                layers.append(Fire(channels, squeeze, expand))
                channels = 2 * expand
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(shape.dropout)
        self.classifier = nn.Conv2d(channels, shape.classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, 1, H, W] to float32 [N, classes]."""
        scores: torch.Tensor = self.classifier(self.dropout(self.features(x)))
        return scores.mean(dim=(2, 3))

    def fold_normalisation(self) -> None:
        """Fold every batch normalisation into its convolution, in place; switches to eval mode."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvUnit):
                module.fold()
