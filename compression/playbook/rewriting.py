"""How a move goes over a net: layer by layer in any module, or along a chain. The net that is given is never changed."""

import copy
from collections.abc import Callable, Iterator

from torch import nn

from compression.errors import ModelUnusable

Rule = Callable[[str, nn.Module], nn.Module | None]
Choice = Callable[[str, nn.Conv2d], bool]


def every(name: str, conv: nn.Conv2d) -> bool:
    """The choice that leaves no layer out."""
    return True


def rewrite(net: nn.Module, rule: Rule, *, move: str) -> nn.Module:
    """A copy of `net` with every module replaced for which `rule` has another; a module that is used twice stays one module.

    Raises:
        ModelUnusable: `rule` had nothing to replace; the message says `move`.
    """
    moved = copy.deepcopy(net)
    replaced: dict[int, nn.Module] = {}
    for name, module in list(moved.named_modules(remove_duplicate=False)):
        other = replaced.get(id(module)) or rule(name, module)
        if other is None:
            continue
        replaced[id(module)] = other
        if not name:
            return other
        parent, _, attribute = name.rpartition(".")
        setattr(moved.get_submodule(parent), attribute, other)
    if not replaced:
        raise ModelUnusable(f"{move}: no layer of {type(net).__name__} can be changed so")
    return moved


def chain_of(net: nn.Module, *, move: str) -> list[tuple[str, nn.Module]]:
    """The layers of nested `nn.Sequential`s in their order, by name, copied.

    Raises:
        ModelUnusable: the net branches, so that a layer's successor cannot be known from its modules.
    """
    if not isinstance(net, nn.Sequential):
        raise ModelUnusable(f"{move}: {type(net).__name__} is no nn.Sequential, so what follows what is not known")
    return list(_layers(copy.deepcopy(net), ""))


def _layers(net: nn.Sequential, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, module in net.named_children():
        if isinstance(module, nn.Sequential):
            yield from _layers(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def like(conv: nn.Conv2d, channels_in: int, channels_out: int, kernel: int, *, groups: int = 1) -> nn.Conv2d:
    """An untrained convolution with stride, dilation and bias of `conv`, padded so that a stride of 1 keeps the size."""
    return nn.Conv2d(
        channels_in,
        channels_out,
        kernel,
        stride=pair(conv.stride),
        padding=tuple(step * (kernel // 2) for step in pair(conv.dilation)),  # type: ignore[arg-type]  # two of them
        dilation=pair(conv.dilation) if kernel > 1 else 1,
        groups=groups,
        bias=conv.bias is not None,
    )


def keeps_size(conv: nn.Conv2d) -> bool:
    """Whether the kernel is odd and padded so that only the stride changes the size of the map."""
    if isinstance(conv.padding, str):
        return conv.padding == "same"
    spans = [
        (kernel, 2 * pad, dilation * (kernel - 1))
        for kernel, pad, dilation in zip(conv.kernel_size, conv.padding, conv.dilation, strict=True)
    ]
    return all(kernel % 2 and padded == reach for kernel, padded, reach in spans)


def pair(values: tuple[int, ...]) -> tuple[int, int]:
    """The two entries of a torch setting for height and width."""
    height, width = values
    return height, width
