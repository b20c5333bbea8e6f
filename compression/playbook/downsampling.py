"""Where a net halves its maps (Iandola & Keutzer 2017, section 5.5)."""

import math

from torch import nn

from compression.errors import ModelUnusable
from compression.playbook.rewriting import chain_of, keeps_size

MOVE = "evenly spaced downsampling"
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def evenly_spaced(layers: int, halvings: int) -> tuple[int, ...]:
    """After how many of `layers` each of `halvings` comes so that the stretches between them are equally long, as far as they can be.

    >>> evenly_spaced(8, 3)
    (2, 4, 6)
    """
    return tuple(max(1, round(layers * (number + 1) / (halvings + 1))) for number in range(halvings))


def space_downsampling(net: nn.Module) -> nn.Sequential:
    """Move the halvings of a chain to evenly spaced places: strides become 1, and 2x2 max poolings stand between the layers.

    Section 5.5. No parameter changes, the maps that leave the net keep their size where that of the image is a multiple of
    2^halvings. MACs are the sum over the layers of k²·I·O·H·W / 4^d with d halvings before the layer: a net that halves early
    becomes dearer and, trained again, more accurate, one that halves late cheaper.

    Raises:
        ModelUnusable: the net is no chain, a layer changes the size otherwise than by a stride or pooling that is a power of 2, or
            nothing halves.
    """
    layers: list[list[nn.Module]] = [[]]
    tail: list[nn.Module] = []
    halvings = 0
    for name, module in chain_of(net, move=MOVE):
        if tail or isinstance(module, (nn.Flatten, nn.AdaptiveAvgPool2d)):
            tail.append(module)
        elif isinstance(module, _POOLS):
            halvings += _halvings(name, module.stride)
        else:
            if isinstance(module, nn.Conv2d):
                if not keeps_size(module):
                    raise ModelUnusable(f"{MOVE}: layer {name} shrinks the map by its missing padding")
                halvings += _halvings(name, module.stride)
                module.stride = (1, 1)
                layers.append([])
            layers[-1].append(module)
    before, *units = layers
    if not halvings or not units:
        raise ModelUnusable(f"{MOVE}: no convolution or pooling of {type(net).__name__} halves its map")
    places = evenly_spaced(len(units), halvings)
    spaced = list(before)
    for number, unit in enumerate(units, start=1):
        spaced += [*unit, *(nn.MaxPool2d(2) for _ in range(places.count(number)))]
    return nn.Sequential(*spaced, *tail)


def _halvings(name: str, stride: int | tuple[int, ...]) -> int:
    steps = {stride} if isinstance(stride, int) else set(stride)
    step = steps.pop()
    halvings = math.log2(step)
    if steps or not halvings.is_integer():
        raise ModelUnusable(f"{MOVE}: layer {name} has stride {stride}, which is no power of 2 for both sides")
    return int(halvings)
