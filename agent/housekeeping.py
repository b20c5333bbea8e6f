"""Removing what no line needs any more.

What is kept: current, previous and the pending target, with their sample sets; until an attempt's health is known, the model that it
replaced; and what a failed attempt fetched that may be tried again.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from agent import disk, slots
from agent.layout import Layout
from agent.state import Failure, LineState, State

log = logging.getLogger(__name__)


def collect(layout: Layout, state: State) -> None:
    """Remove old slots, half-built slots, stale downloads, sample sets without a model, and temporary files."""
    samples: set[str] = set()
    downloads: set[str] = set()
    for model, line in state.lines.items():
        kept = _kept_models(line)
        waiting = _waiting_failures(line, state.wanted(model))
        building = {line.pending.target.sha256} if line.pending else set()
        building |= {failure.sha256 for failure in waiting}
        names = kept | building | {f"{sha256}.new" for sha256 in building}
        _remove_others(layout.line(model).slots, names)
        samples |= {found for sha256 in kept if (found := slots.sample_set_of(layout.line(model), sha256))}
        downloads.update(line.pending.artifacts() if line.pending else (), *(failure.keeps for failure in waiting))
    samples |= downloads
    _remove_others(layout.samples, {f"{sha256}.npz" for sha256 in samples})
    _remove_others(layout.downloads, downloads | {f"{sha256}.part" for sha256 in downloads})
    _remove_all(path for path in layout.outbox.iterdir() if path.name.startswith("."))


def _kept_models(line: LineState) -> set[str]:
    replaced = None if line.pending is None else line.pending.replaces
    return {sha256 for sha256 in (line.current, line.damaged, line.previous, replaced) if sha256 is not None}


def _waiting_failures(line: LineState, wanted: str | None) -> tuple[Failure, ...]:
    """The last failure, where the next attempt can use its bytes: they were paid for, and the server still wants them."""
    return tuple(failure for failure in line.failures[-1:] if failure.keeps and failure.sha256 == wanted)


def _remove_others(folder: Path, names: set[str]) -> None:
    _remove_all(path for path in folder.iterdir() if path.name not in names)


def _remove_all(paths: Iterable[Path]) -> None:
    for path in list(paths):
        log.info("collected", extra={"path": path.name})
        if path.is_dir() and not path.is_symlink():
            disk.remove_tree(path)
        else:
            disk.remove_file(path)
