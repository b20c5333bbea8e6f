"""What torch's exporter has no ONNX for is written as the nodes that were meant, and runs with any batch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from compression.evaluation import predict_logits
from compression.onnx_export import export_onnx
from compression.onnx_operators import (
    ChannelShuffle,
    InstanceNorm,
    PReLU,
    ReflectionPad,
    max_pool_with_places,
    max_unpool,
    with_empty_channels,
)


class ThereAndBack(nn.Module):
    """Two poolings and two unpoolings to the size that was."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [N, C, H, W] to the same shape."""
        once, first = max_pool_with_places(x)
        twice, second = max_pool_with_places(once)
        return max_unpool(max_unpool(twice * 2, second), first)


class EmptyChannels(nn.Module):
    """Three channels more, of zeros."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 [N, C, H, W] to [N, C + 3, H, W]."""
        return with_empty_channels(x, 3)


def _nodes(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node if node.op_type != "Constant"]


@pytest.mark.parametrize("size", [(8, 12), (8, 10), (5, 7), (6, 3)])
def test_maxima_go_back_to_their_places_at_any_size_and_batch(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    images = np.random.default_rng(1).random((3, 2, *size), dtype=np.float32)
    export_onnx(ThereAndBack(), path, example=images[:1], input_name="x", output_name="y")
    assert _nodes(path) == ["MaxPool", "MaxPool", "Mul", "MaxUnpool", "MaxUnpool"]
    back = predict_logits(path, images)
    assert back.shape == images.shape
    rows, columns = ((side + 3) // 4 for side in size)
    assert ((back != 0).sum(axis=(2, 3)) == rows * columns).all()
    np.testing.assert_array_equal(back[back != 0], 2 * images[back != 0])


def test_shuffle_is_three_nodes_and_right_for_any_batch(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    images = np.random.default_rng(1).random((3, 6, 4, 5), dtype=np.float32)
    export_onnx(ChannelShuffle(3), path, example=images[:1], input_name="x", output_name="y")
    assert _nodes(path) == ["Reshape", "Transpose", "Reshape"]
    np.testing.assert_array_equal(predict_logits(path, images), images[:, [0, 2, 4, 1, 3, 5]])


@pytest.mark.parametrize(
    ("module", "reference", "nodes"),
    [
        (PReLU(4, slope=0.3), nn.PReLU(4, init=0.3), ["PRelu"]),
        (InstanceNorm(4), nn.InstanceNorm2d(4, affine=True), ["InstanceNormalization"]),
        (ReflectionPad(2), nn.ReflectionPad2d(2), ["Pad"]),
        (EmptyChannels(), nn.ConstantPad3d((0, 0, 0, 0, 0, 3), 0.0), ["Pad"]),
    ],
    ids=["slope", "norm", "mirror", "channels"],
)
def test_layer_is_torchs_own_and_one_node(
    module: nn.Module, reference: nn.Module, nodes: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    images = np.random.default_rng(1).normal(size=(3, 4, 5, 6)).astype(np.float32)
    expected = reference.train()(torch.from_numpy(images)).detach()
    torch.testing.assert_close(module(torch.from_numpy(images)).detach(), expected)
    export_onnx(module.eval(), path, example=images[:1], input_name="x", output_name="y")
    assert _nodes(path) == nodes
    np.testing.assert_allclose(predict_logits(path, images), expected.numpy(), atol=1e-5)
    (shape,) = (value.type.tensor_type.shape for value in onnx.load(path).graph.output)
    assert [dim.dim_value for dim in shape.dim[1:]] == list(expected.shape[1:])
