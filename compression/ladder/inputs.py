"""Inputs on which two nets are made to agree: the samples, moved, turned and mixed, for the teacher says what each should give. Needs torch.

Mixing: H. Zhang et al., "mixup" (arXiv:1710.09412), without its labels. Images are what has four axes and at least 4 x 4 pixels; other floating
inputs are only mixed, integers are taken as they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from compression.datasets import Samples

Feeds = dict[str, torch.Tensor]

MIN_PIXELS = 4


@dataclass(frozen=True, slots=True)
class Variation:
    """How far inputs are varied.

    Attributes:
        shift: images are moved by up to this share of their width and height, and turned, scaled and skewed by half as much.
        mixed: the share of each batch that is mixed with another of its samples.
        plain: the share of each batch that is left as it is, for that is what devices see.
    """

    shift: float = 0.08
    mixed: float = 0.35
    plain: float = 0.25


def batches(samples: Samples, batch: int, variation: Variation, generator: torch.Generator) -> Iterator[Feeds]:
    """Batch after batch, epoch after epoch, without end; of each epoch what does not fill a batch is left out."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in samples.inputs.items()}
    count = len(samples)
    batch = min(batch, count)
    while True:
        order = torch.randperm(count, generator=generator)
        for first in range(0, count - batch + 1, batch):
            chosen = order[first : first + batch]
            yield varied({name: tensor[chosen] for name, tensor in tensors.items()}, variation, generator)


def varied(feeds: Mapping[str, torch.Tensor], variation: Variation, generator: torch.Generator) -> Feeds:
    """The first `plain` of a batch as they are, the others moved where they are images, and the last `mixed` of them mixed."""
    count = len(next(iter(feeds.values())))
    moved_from = round(variation.plain * count)
    partners = torch.randperm(count, generator=generator)[: round(variation.mixed * count)]
    shares = torch.rand(len(partners), generator=generator)
    found = {}
    for name, tensor in feeds.items():
        if tensor.is_floating_point():
            moved = torch.cat([tensor[:moved_from], _moved(tensor[moved_from:], variation.shift, generator)])
            found[name] = _mixed(moved, tensor[partners], shares)
        else:
            found[name] = tensor
    return found


def _mixed(tensor: torch.Tensor, partners: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    share = shares.to(tensor.dtype).reshape(-1, *[1] * (tensor.ndim - 1))
    rest = len(tensor) - len(partners)
    return torch.cat([tensor[:rest], share * tensor[rest:] + (1 - share) * partners])


def _moved(images: torch.Tensor, reach: float, generator: torch.Generator) -> torch.Tensor:
    if images.ndim != 4 or min(images.shape[2:]) < MIN_PIXELS or not len(images):
        return images
    # In the units of affine_grid the width is 2.
    change = (torch.rand(len(images), 2, 3, generator=generator) * 2 - 1) * (2 * reach)
    change[:, :, :2] *= 0.5
    grid = nn.functional.affine_grid(
        (torch.eye(2, 3) + change).to(images.dtype), list(images.shape), align_corners=False
    )
    return nn.functional.grid_sample(images, grid, align_corners=False)
