"""Progress of long work, counted in steps: a bar on a terminal, nothing anywhere else."""

import contextlib
import sys
from collections.abc import Iterator

from client.progress import Advance, Progress, no_progress

__all__ = ["Advance", "Progress", "no_progress", "terminal_progress"]


@contextlib.contextmanager
def terminal_progress(label: str, total: int) -> Iterator[Advance]:
    """A bar on standard error while that is a terminal; nothing in a pipe or a log."""
    if not sys.stderr.isatty():
        with no_progress(label, total) as advance:
            yield advance
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=label, leave=False, file=sys.stderr) as bar:
        yield bar.update
