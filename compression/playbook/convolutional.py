"""Fully connected layers become convolutions (Iandola & Keutzer 2017, section 5.2)."""

import torch
from torch import nn

from compression.errors import ModelUnusable
from compression.playbook.rewriting import chain_of

MOVE = "fully connected to convolution"
ELEMENTWISE = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Dropout, nn.Identity)
"""Layers that do the same to a vector and to a map."""


def linear_to_convolution(linear: nn.Linear, *, channels: int, height: int, width: int) -> nn.Conv2d:
    """The convolution [out, channels, height, width] that computes on the map what `linear` computes on its flattened form.

    Section 5.2. Parameters and, at this map size, MACs stay as they are: out x channels x height x width (+ out). On a larger
    map the same weights answer at every place, which a fully connected layer cannot.

    Raises:
        ModelUnusable: the layer has another number of inputs than such a map has values.
    """
    if linear.in_features != channels * height * width:
        raise ModelUnusable(
            f"{MOVE}: the layer has {linear.in_features} inputs, a map of {channels} x {height} x {width} has "
            f"{channels * height * width} values"
        )
    conv = nn.Conv2d(channels, linear.out_features, (height, width), bias=linear.bias is not None)
    with torch.no_grad():
        conv.weight.copy_(linear.weight.reshape(conv.weight.shape))
        if conv.bias is not None:
            conv.bias.copy_(linear.bias)
    return conv


def fully_convolutional(net: nn.Module, shape: tuple[int, int, int]) -> nn.Sequential:
    """The same function without a fully connected layer: float32 [N, *shape] to [N, classes], and any larger image as well.

    Section 5.2, the exact rewrite. Parameters and MACs at `shape` do not change; on larger images the scores of all
    places are averaged. What makes the net small is `averaged_classifier`, for which this is the ground.

    Raises:
        ModelUnusable: the net is no chain, or a layer between the flattening and the end cannot work on maps.
    """
    layers: list[nn.Module] = []
    # What the next fully connected layer looks at, from the flattening on.
    place: tuple[int, ...] | None = None
    for name, module, seen in _with_inputs(net, shape):
        if isinstance(module, nn.Flatten):
            place = seen
        elif place is None or isinstance(module, ELEMENTWISE):
            layers.append(module)
        elif isinstance(module, nn.Linear):
            channels, height, width = place
            layers.append(linear_to_convolution(module, channels=channels, height=height, width=width))
            place = (module.out_features, 1, 1)
        elif isinstance(module, nn.BatchNorm1d) and place[1:] == (1, 1):
            layers.append(_on_maps(module))
        else:
            raise ModelUnusable(
                f"{MOVE}: layer {name} ({type(module).__name__}) follows the flattening and works on vectors only"
            )
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def averaged_classifier(net: nn.Module, shape: tuple[int, int, int]) -> nn.Sequential:
    """The net with one 1x1 convolution and a global average in place of all its fully connected layers, to be trained again.

    Section 5.2, as Network in Network and SqueezeNet end. With C channels on an H x W map, D hidden units and K classes the end
    had C·H·W·D + D + D·K + K parameters and C·H·W·D + D·K MACs, and has C·K + K parameters and C·K·H·W MACs. The last layer's
    weights are kept where it was the only one and its map 1 x 1; otherwise the new layer is untrained.

    Raises:
        ModelUnusable: the net is no chain, or has no flattening that is followed by fully connected layers.
    """
    layers: list[nn.Module] = []
    at_flatten: tuple[int, ...] | None = None
    linears: list[nn.Linear] = []
    for _, module, seen in _with_inputs(net, shape):
        if isinstance(module, nn.Flatten):
            at_flatten = seen
        elif at_flatten is None:
            layers.append(module)
        elif isinstance(module, nn.Linear):
            linears.append(module)
    if at_flatten is None or not linears:
        raise ModelUnusable(f"{MOVE}: the net has no nn.Flatten followed by an nn.Linear")
    channels, height, width = at_flatten
    if len(linears) == 1 and height == width == 1:
        scores = linear_to_convolution(linears[0], channels=channels, height=1, width=1)
    else:
        scores = nn.Conv2d(channels, linears[-1].out_features, 1)
    return nn.Sequential(*layers, scores, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _with_inputs(net: nn.Module, shape: tuple[int, int, int]) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """Every layer with its name and the shape of what it is given, without the batch."""
    found = []
    chain = chain_of(net, move=MOVE)
    value = torch.zeros(1, *shape)
    with torch.no_grad():
        for name, module in chain:
            found.append((name, module, tuple(value.shape[1:])))
            training = module.training
            value = module.eval()(value)
            module.train(training)
    return found


def _on_maps(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    maps = nn.BatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum, affine=norm.affine)
    maps.load_state_dict(norm.state_dict())
    return maps.train(norm.training)
