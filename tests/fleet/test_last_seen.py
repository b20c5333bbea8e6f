"""Last-seen times: no write per poll, batches that any number of threads fill."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fleet.devices.last_seen import Sightings
from fleet.devices.models import Device
from tests.factories.fleet import make_fleet, make_variant


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.django_db
def test_sightings_are_written_once_an_interval_in_one_statement() -> None:
    clock = Clock()
    sightings = Sightings(interval_s=60, clock=clock)
    devices = make_fleet(5, current=make_variant())
    with CaptureQueriesContext(connection) as queries:
        for device in devices * 3:
            sightings.note(device.pk)
    assert not queries.captured_queries
    clock.now_s = 60
    with CaptureQueriesContext(connection) as queries:
        sightings.note(devices[0].pk)
    updates = [query for query in queries.captured_queries if query["sql"].startswith("UPDATE")]
    assert len(updates) == 1
    assert not Device.objects.filter(last_seen_at=None).exists()
    assert sightings.flush() == 0


@pytest.mark.django_db
def test_a_later_time_of_another_process_stays() -> None:
    device = make_fleet(1, current=make_variant())[0]
    later = timezone.now() + timedelta(hours=1)
    Device.objects.filter(pk=device.pk).update(last_seen_at=later)
    sightings = Sightings(interval_s=60)
    sightings.note(device.pk)
    assert sightings.flush() == 1
    assert Device.objects.get(pk=device.pk).last_seen_at == later


@pytest.mark.django_db
def test_a_device_that_is_gone_disturbs_nobody() -> None:
    sightings = Sightings(interval_s=60)
    sightings.note(uuid4())
    assert sightings.flush() == 1


@pytest.mark.django_db(transaction=True)
def test_no_sighting_of_many_threads_is_lost() -> None:
    devices = make_fleet(200, current=make_variant())
    sightings = Sightings(interval_s=0.05)

    def note(part: int) -> None:
        for device in devices[part::4]:
            sightings.note(device.pk)
        connection.close()

    threads = [threading.Thread(target=note, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sightings.flush()
    assert not Device.objects.filter(last_seen_at=None).exists()
