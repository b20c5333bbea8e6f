"""SqueezeDet: Wu, Iandola, Jin, Keutzer, "SqueezeDet: Unified, Small, Low Power Fully Convolutional Neural Networks", arXiv:1612.01051.

SqueezeNet 1.1 without its classifier, padded so that a stride alone halves the map, two fire modules more and ConvDet (section 3.2),
one 3x3 convolution that gives class scores, a confidence and four box deltas for each of nine anchors at each place.
"""

import math

import torch
from torch import Tensor, nn

from compression.squeezenet import ConvUnit, Fire
from compression.zoo.entry import NetShape

ANCHORS = 9
FIRES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((16, 64), (16, 64)),
    ((32, 128), (32, 128)),
    ((48, 192), (48, 192), (64, 256), (64, 256), (96, 384), (96, 384)),
)
# exp(delta) is linear from here on, as in the authors' code: one bad delta gives no infinite box.
_EXP_LIMIT = 1.0


class SqueezeDet(nn.Module):
    """Float32 [N, C, H, W] to predictions, float32 [N, anchors * (classes + 1 + 4), H / 16, W / 16]."""

    def __init__(self, shape: NetShape, *, anchors: int = ANCHORS) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvUnit(shape.channels, 64, 3, stride=2, norm=False)]
        channels = 64
        for stage in FIRES:
            layers.append(nn.MaxPool2d(3, 2, padding=1))
            for squeeze, expand in stage:
                fire = Fire(channels, squeeze, expand, norm=False)
                layers.append(fire)
                channels = fire.channels
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.5)
        self.convdet = nn.Conv2d(channels, anchors * (shape.classes + 1 + 4), 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The raw predictions; `detections` reads them."""
        predictions: Tensor = self.convdet(self.dropout(self.features(x)))
        return predictions


def squeezedet(shape: NetShape, *, anchors: int = ANCHORS) -> nn.Module:
    """SqueezeDet for `shape`."""
    return SqueezeDet(shape, anchors=anchors)


def detections(predictions: Tensor, anchors: Tensor, *, classes: int, stride: int = 16) -> tuple[Tensor, Tensor]:
    """Boxes and scores of every anchor at every place (section 3.1, equations 1 and 2), for non-maximum suppression.

    Args:
        predictions: float32 [N, A * (classes + 5), H, W]: class scores of all anchors, confidences, deltas, in this order.
        anchors: float32 [A, 2], width and height in pixels.
        classes: how many.
        stride: pixels of the image from one place to the next.

    Returns:
        Boxes, float32 [N, A * H * W, 4] as centre x, centre y, width, height in pixels, and scores, float32 [N, A * H * W, classes]:
        the probability of the class, given an object, times the confidence.
    """
    batch, _, height, width = predictions.shape
    count = len(anchors)
    scores, confidence, deltas = torch.split(predictions, [count * classes, count, count * 4], dim=1)
    likely = scores.reshape(batch, count, classes, height, width).softmax(dim=2)
    weighted = likely * torch.sigmoid(confidence).unsqueeze(2)
    delta = deltas.reshape(batch, count, 4, height, width)
    rows = (torch.arange(height) + 0.5) * stride
    columns = (torch.arange(width) + 0.5) * stride
    wide, high = (anchors[:, axis].reshape(1, count, 1, 1) for axis in (0, 1))
    boxes = torch.stack(
        [
            columns + wide * delta[:, :, 0],
            rows[:, None] + high * delta[:, :, 1],
            wide * _safe_exp(delta[:, :, 2]),
            high * _safe_exp(delta[:, :, 3]),
        ],
        dim=2,
    )
    flat = boxes.permute(0, 1, 3, 4, 2).reshape(batch, -1, 4)
    return flat, weighted.permute(0, 1, 3, 4, 2).reshape(batch, -1, classes)


def _safe_exp(x: Tensor) -> Tensor:
    slope = math.exp(_EXP_LIMIT)
    return torch.where(x > _EXP_LIMIT, slope * (x - _EXP_LIMIT + 1), x.clamp(max=_EXP_LIMIT).exp())
