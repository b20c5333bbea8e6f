"""Style transfer with the small net in the place of the large one: an image net trained against what a SqueezeNet sees.

Johnson, Alahi, Fei-Fei 2016 (arXiv:1603.08155), section 3.2, compare images by VGG's features; Iandola and Keutzer 2017 put SqueezeNet's (4.8 MB)
in the place of VGG-19's (575 MB). Only training needs them: what is deployed is the net of `nets.transformer`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from compression.errors import DataUnusable


@dataclass(frozen=True, slots=True)
class StyleWeights:
    """How much each part of the loss counts.

    Attributes:
        content: mean squared difference of one feature map.
        style: squared differences of the Gram matrices, summed over the maps.
        variation: mean squared difference of neighbouring pixels, against noise.
    """

    content: float = 1.0
    style: float = 1e3
    variation: float = 1e-1


@dataclass(frozen=True, slots=True)
class PerceptualParts:
    """The parts of the loss, before they are weighted; each a scalar."""

    content: torch.Tensor
    style: torch.Tensor
    variation: torch.Tensor

    def total(self, weights: StyleWeights) -> torch.Tensor:
        """Their weighted sum."""
        return weights.content * self.content + weights.style * self.style + weights.variation * self.variation


class PerceptualLoss(nn.Module):
    """How far images are from keeping their content and having the style of one image, as a fixed net sees it.

    The net's weights are never trained here; gradients flow through it to the image.

    Args:
        features: gives some feature maps of an image, such as `nets.squeezenet.Features`.
        style: the image whose style is wanted, float32 [1, C, H, W] in 0..1.
        content: which of the maps the content is compared in; the second of four in the paper.
    """

    def __init__(self, features: nn.Module, style: torch.Tensor, *, content: int = 1) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(requires_grad=False)
        with torch.no_grad():
            maps = self.features(style)
        if not -len(maps) <= content < len(maps):
            raise ValueError(
                f"there are {len(maps)} feature maps, and the content is to be compared in number {content}"
            )
        self.content = content
        self.style_grams = [gram(seen) for seen in maps]

    def forward(self, stylised: torch.Tensor, original: torch.Tensor) -> PerceptualParts:
        """Both float32 [N, C, H, W] in 0..1, of one shape."""
        seen = self.features(stylised)
        with torch.no_grad():
            wanted = self.features(original)[self.content]
        style = [
            (gram(ours) - theirs).square().sum(dim=(1, 2)).mean()
            for ours, theirs in zip(seen, self.style_grams, strict=True)
        ]
        rows = (stylised[:, :, 1:] - stylised[:, :, :-1]).square().mean()
        columns = (stylised[:, :, :, 1:] - stylised[:, :, :, :-1]).square().mean()
        return PerceptualParts(
            content=nn.functional.mse_loss(seen[self.content], wanted),
            style=torch.stack(style).sum(),
            variation=rows + columns,
        )


def gram(maps: torch.Tensor) -> torch.Tensor:
    """How channels occur together, wherever that is: float32 [N, C, H, W] to [N, C, C] (Johnson et al., equation 3)."""
    _, channels, height, width = maps.shape
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / (channels * height * width)


def train_style(
    net: nn.Module,
    loss: PerceptualLoss,
    images: torch.Tensor,
    *,
    steps: int,
    weights: StyleWeights | None = None,
    batch: int = 4,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> Sequence[float]:
    """Train `net` in place to give any image the style; the weighted loss of every step.

    Adam, as in section 4.1 of the paper. The same seed gives the same net on one machine.

    Args:
        net: from float32 [N, C, H, W] in 0..1 to the same, such as `nets.transformer.transformer`.
        loss: made for the style.
        images: float32 [M, C, H, W] in 0..1, whatever shall be painted.
        steps: of the optimiser.
        weights: of the loss's parts.
        batch: images a step.
        learning_rate: of Adam.
        seed: of the order of the images.

    Raises:
        DataUnusable: there are fewer images than a batch has.
    """
    if len(images) < batch:
        raise DataUnusable(f"{len(images)} images are fewer than a batch of {batch}")
    weights = weights or StyleWeights()
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(net.parameters(), learning_rate)
    found = []
    net.train()
    for _ in range(steps):
        chosen = images[torch.randperm(len(images), generator=generator)[:batch]]
        total = loss(net(chosen), chosen).total(weights)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        found.append(float(total.detach()))
    net.eval()
    return found
