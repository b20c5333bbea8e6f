"""Torch's switches for computing the same bits again, set for a while and put back. They are the process's, so nobody may leave them changed."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def repeatable(threads: int = 1) -> Iterator[None]:
    """Sums in a fixed order on so many threads; another number of threads may give other last bits.

    Memory is not filled before it is written: nothing here reads it earlier, and filling would take an eighth of a training's time.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), _fills()
    _set(threads, deterministic=True, fills=False)
    try:
        yield
    finally:
        _set(before[0], deterministic=before[1], fills=before[2])


@contextlib.contextmanager
def any_order() -> Iterator[None]:
    """Allow one operation whose result does not depend on its order, although torch does not know that."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before)


def _fills() -> bool:
    return bool(torch.utils.deterministic.fill_uninitialized_memory)  # type: ignore[attr-defined]  # a property of the module


def _set(threads: int, *, deterministic: bool, fills: bool) -> None:
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]  # a property of the module
