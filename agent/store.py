"""The one holder of the agent's state: reads it at the start, commits every change, and repairs what a crash left.

Only one agent may hold a state directory; a lock that the kernel drops with the process sees to that.
"""

import fcntl
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Any, Self

from agent import disk, state
from agent.errors import DISK_ERRNOS, StateDirectoryBusy, WireInvalid
from agent.layout import MANIFEST_FILE, Layout, LinePaths
from agent.outbox import Outbox
from agent.state import LineState, Pending, Stage, State

STAGES_WITH_SLOT = frozenset({Stage.STAGED, Stage.CHECKED, Stage.READY, Stage.SWITCHING, Stage.OBSERVED})

log = logging.getLogger(__name__)


class Store:
    """State on disk, locked for as long as this object is open."""

    def __init__(self, layout: Layout, models: tuple[str, ...], outbox: Outbox) -> None:
        self._layout = layout
        self._models = models
        self._outbox = outbox
        self._lock = -1
        self.state = State(lines=MappingProxyType({}))

    def __enter__(self) -> Self:
        disk.make_directories(self._layout.root)
        self._lock = os.open(self._layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StateDirectoryBusy(f"{self._layout.root} is in use by another agent: stop it first") from None
        try:
            self._layout.prepare(self._models)
            self._recover()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def commit(self, new: State, events: Sequence[Mapping[str, Any]] = ()) -> None:
        """Make a change durable together with its events, then lay the events out in the outbox.

        If power fails before the state is replaced, neither happened; after it, both have.
        """
        new = replace(new, events=(*self.state.events, *events))
        disk.replace_file(self._layout.state, state.to_json(new))
        self.state = new
        self._lay_out()

    def _lay_out(self) -> None:
        """Put the events into the outbox; where the disk refuses that, they stay in each state that follows until it takes them."""
        for event in self.state.events:
            self._outbox.put_event(event)
        self.state = replace(self.state, events=())

    def _recover(self) -> None:
        """Bring memory, disk and outbox together again."""
        known = read_state(self._layout)
        if known is None:
            known = State(lines=MappingProxyType({}))
            if self._layout.state.exists():
                log.error("state_damaged", extra={"kept_as": "state.json.damaged"})
                disk.rename(self._layout.state, self._layout.state.with_suffix(".json.damaged"))
        lines = {model: self._recovered(model, known.lines.get(model, LineState())) for model in self._models}
        self.state = replace(known, lines=MappingProxyType(lines))
        try:
            self._lay_out()
        except OSError as error:
            # They stay in the state; a disk that is full must not keep the device from hearing the server.
            if error.errno not in DISK_ERRNOS:
                raise
            log.warning("events_wait", extra={"why": str(error)})

    def _recovered(self, model: str, line: LineState) -> LineState:
        """Fill in what the disk knows better than the document."""
        paths = self._layout.line(model)
        current = paths.read_current()
        if current == line.damaged:
            current = None
        previous = line.previous
        if previous == current or (previous is not None and not paths.model(previous).is_file()):
            previous = None
        pending = line.pending
        if pending is not None and pending.stage in STAGES_WITH_SLOT and not _has_slot(paths, pending):
            log.warning("slot_lost", extra={"model": model, "sha256": pending.target.sha256})
            pending = replace(pending, stage=Stage.NEW, offer=None)
        return replace(line, current=current, previous=previous, pending=pending)


def _has_slot(paths: LinePaths, pending: Pending) -> bool:
    return (paths.slot(pending.target.sha256) / MANIFEST_FILE).is_file()


def read_state(layout: Layout) -> State | None:
    """The state as it is on disk, without the lock; `None` when it is damaged or not there."""
    try:
        return state.from_json(layout.state.read_bytes())
    except FileNotFoundError:
        return None
    except WireInvalid as error:
        log.warning("state_unreadable", extra={"why": str(error)})
        return None
