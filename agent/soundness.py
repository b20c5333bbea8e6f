"""Are the models in service still the bytes that the publisher signed? Flash wears, and who maps a file looks at no digest.

Looked at once per boot and once a day, since a look reads both files whole; it writes only that it was done. A damaged `previous` is
forgotten, so nothing steps back to it. A damaged `current` is left for `previous` by the same zero-byte switch as after a failed health
check. Where there is no other model it stays: the process that loaded it may have it whole in memory, and some model is more than
none. Either way the server hears of it as an attempt of its own, and what it wants is installed anew.
"""

import logging
from dataclasses import replace

from agent import slots
from agent.clock import Instant
from agent.ids import new_id
from agent.layout import LinePaths
from agent.record import Event, Record, failed_event
from agent.state import LineState, Pending, Setback, Stage
from agent.wire import Way

EVERY_S = 86_400.0

log = logging.getLogger(__name__)


def is_due(line: LineState, now: Instant) -> bool:
    """Whether the slots of a line should be looked at; not in an attempt, which may be about to replace them."""
    if line.pending is not None or (line.current is None and line.previous is None):
        return False
    last = line.verified
    return last is None or last.boot_id != now.boot_id or now.since(last) >= EVERY_S


def examine(record: Record, paths: LinePaths) -> None:
    """Look at the slots of a line, if that is due; what is damaged is out of service, or about to be, after this."""
    state, now = record.state, record.clock.now()
    if not is_due(state, now):
        return
    damaged = [sha256 for sha256 in (state.current, state.previous) if sha256 and not slots.is_complete(paths, sha256)]
    for sha256 in damaged:
        log.error("slot_damaged", extra={"model": record.model, "sha256": sha256})
    previous = None if state.previous in damaged else state.previous
    line = replace(state, previous=previous, verified=now)
    if state.current is None or state.current not in damaged:
        record.commit(line)
        return
    setback = Setback("verify", "current-damaged", "the files of the model in service are not what was installed")
    target = slots.target_of(paths, state.current)
    attempt = Pending(new_id(), None, target, now, setback=setback)
    started: Event = ("started", {"from": state.current, "way": Way.PREVIOUS})
    if previous is not None:
        record.commit(replace(line, pending=replace(attempt, stage=Stage.STEPPING_BACK, replaces=previous)), started)
    else:
        failed = failed_event(setback, permanent=False)
        record.commit(replace(line, current=None, damaged=state.current), started, failed, of=attempt)
