"""The weights of a net that are pruned and shared, and a recipe's words for some of them."""

from collections.abc import Mapping
from typing import TypeVar

from compression.deep.masks import Weights
from compression.errors import RecipeInvalid
from compression.onnx_torch import Layer, OnnxNet

Value = TypeVar("Value")


def layers_by_weight(net: OnnxNet) -> dict[str, Layer]:
    """Every weight tensor once, with the first layer that uses it."""
    found: dict[str, Layer] = {}
    for layer in net.layers:
        found.setdefault(layer.weight, layer)
    return found


def arrays(net: OnnxNet) -> dict[str, Weights]:
    """The weights of all layers, float32, copied."""
    weights = net.weights
    return {name: weights[name].detach().numpy().copy() for name in layers_by_weight(net)}


def by_weight(net: OnnxNet, named: Mapping[str, Value], *, key: str) -> dict[str, Value]:
    """A recipe's table with a weight's name for each layer's; a layer may be named by its node or by its weight.

    Raises:
        RecipeInvalid: a name that no layer has; the message begins with `key`.
    """
    weights = {layer.name: layer.weight for layer in net.layers} | {layer.weight: layer.weight for layer in net.layers}
    for name in named:
        if name not in weights:
            raise RecipeInvalid(
                f"{key}.{name}: no such layer; the model has {', '.join(layer.name for layer in net.layers)}"
            )
    return {weights[name]: value for name, value in named.items()}
