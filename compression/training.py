"""A plain supervised training loop for small image classifiers; repeatable on one machine from its seed."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from compression.datasets import Samples


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a net is trained.

    Attributes:
        epochs: passes over the training images.
        peak_learning_rate: of AdamW, reached after a tenth of the steps, then falling to zero by a half cosine.
        shift_pixels: images are moved and turned about by up to this many pixels; 0 leaves them as they are.
        seed: of order, dropout and shifts.
        batch: images per step.
        weight_decay: of AdamW, on every parameter.
    """

    epochs: int
    peak_learning_rate: float
    shift_pixels: float
    seed: int
    batch: int = 64
    weight_decay: float = 1e-2


def train(
    net: nn.Module, images: Samples, recipe: Recipe, *, after_epoch: Callable[[int], None] = lambda _epoch: None
) -> None:
    """Train every parameter of `net` in place by `recipe`.

    `after_epoch` is called with the number of epochs done while the net is in eval mode; what it raises ends the training.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    inputs, labels = torch.from_numpy(images.images), torch.from_numpy(images.classes)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=recipe.weight_decay)
    steps_per_epoch = len(labels) // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.peak_learning_rate, total_steps=recipe.epochs * steps_per_epoch, pct_start=0.1
    )
    for epoch in range(recipe.epochs):
        net.train()
        order = torch.randperm(len(labels), generator=generator)[: steps_per_epoch * recipe.batch]
        for chosen in torch.split(order, recipe.batch):
            shifted = shift(inputs[chosen], recipe.shift_pixels, generator)
            loss = nn.functional.cross_entropy(net(shifted), labels[chosen], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        net.eval()
        after_epoch(epoch + 1)


def shift(images: torch.Tensor, pixels: float, generator: torch.Generator) -> torch.Tensor:
    """Move and skew each of float32 [N, 1, H, W] at random by up to `pixels`, bilinearly, zeros flowing in."""
    if not pixels:
        return images
    count, _, _, width = images.shape
    # In the units of affine_grid half the image width is 1.
    reach = 2 * pixels / width
    change = (torch.rand(count, 2, 3, generator=generator) * 2 - 1) * reach
    change[:, :, :2] *= 0.5
    grid = nn.functional.affine_grid(torch.eye(2, 3) + change, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, align_corners=False)
