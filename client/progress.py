"""Progress of long transfers: a bar on a terminal, nothing anywhere else."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

Advance = Callable[[int], object]


class Progress(Protocol):
    """Opens a display for a transfer of `total` bytes; yields what is called with each step's bytes."""

    def __call__(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """Open the display."""


@contextlib.contextmanager
def no_progress(label: str, total: int) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda _bytes: None


@contextlib.contextmanager
def terminal_progress(label: str, total: int) -> Iterator[Advance]:
    """A bar on standard error while that is a terminal; nothing in a pipe or a log."""
    if not sys.stderr.isatty():
        with no_progress(label, total) as advance:
            yield advance
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=label, unit="B", unit_scale=True, leave=False, file=sys.stderr) as bar:
        yield bar.update
