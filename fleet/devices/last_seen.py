"""When devices were last heard: kept in memory, written in batches, so that a poll writes nothing.

Each web process keeps its own; the later time wins in the database. A process that is killed loses at most one interval of sightings, which is
why `Device.last_seen_at` may be that late and nothing is ever decided by it.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import Error, transaction
from django.db.models import Case, DateTimeField, Value, When
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from fleet.devices.models import Device

log = logging.getLogger(__name__)
# Five parameters a device stand in one statement; SQLite takes 32,766 and PostgreSQL 65,535.
BATCH_SIZE = 1000


class Sightings:
    """Collects sightings from all threads of a process and writes them when `interval_s` has passed."""

    def __init__(self, *, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._seen: dict[UUID, datetime] = {}
        self._lock = threading.Lock()
        self._flushed_at = clock()

    def note(self, device_id: UUID) -> None:
        """Remember that the device was heard now; writes what has gathered when it is time."""
        with self._lock:
            self._seen[device_id] = timezone.now()
            due = self._clock() - self._flushed_at >= self._interval_s
        if due:
            self.flush()

    def flush(self) -> int:
        """Write what has gathered; returns how many devices that were. What cannot be written waits for the next time."""
        with self._lock:
            seen, self._seen = self._seen, {}
            self._flushed_at = self._clock()
        try:
            _write(seen)
        except Error as error:
            # A sighting must not fail the request that happened to carry the batch.
            log.warning("last_seen_not_written", extra={"devices": len(seen), "error": type(error).__name__})
            with self._lock:
                self._seen = seen | self._seen
            return 0
        return len(seen)


def _write(seen: Mapping[UUID, datetime]) -> None:
    ids = sorted(seen)  # one order in all processes, so that two batches cannot lock each other out
    for start in range(0, len(ids), BATCH_SIZE):
        batch = ids[start : start + BATCH_SIZE]
        times = Case(*(When(pk=pk, then=Value(seen[pk])) for pk in batch), output_field=DateTimeField())
        with transaction.atomic():
            locked = Device.objects.select_for_update(no_key=True).filter(pk__in=batch).order_by("pk").values("pk")
            len(locked)
            Device.objects.filter(pk__in=batch).update(last_seen_at=Greatest(Coalesce("last_seen_at", times), times))


@functools.cache
def sightings() -> Sightings:
    """The sightings of this process."""
    return Sightings(interval_s=settings.SMALLFLEET_LAST_SEEN_FLUSH_S)


def note(device_id: UUID) -> None:
    """Remember that the device was heard now."""
    sightings().note(device_id)


def flush() -> int:
    """Write what has gathered in this process; returns how many devices that were. `fleet.wsgi` has it done when a web process ends."""
    return sightings().flush()
