"""One process of the test that lets four write on one SQLite file: `prepare`, `write DEVICE`, or `count` (prints JSON)."""

import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")
django.setup()

from fleet.devices.last_seen import Sightings  # noqa: E402 - needs the apps
from fleet.devices.models import Device  # noqa: E402
from fleet.ledger.models import LedgerEntry  # noqa: E402
from fleet.ledger.services import count_served  # noqa: E402
from fleet.rollouts.models import Attempt, Event, Rollout  # noqa: E402
from fleet.rollouts.recording import record_events  # noqa: E402
from registry.models import Variant  # noqa: E402
from tests.factories.fleet import EnrolledDevice, Script, make_device, make_rollout, make_variant, messages  # noqa: E402

ATTEMPTS = 8


def prepare(devices: int) -> None:
    """A rollout over devices named by their number."""
    old, new = make_variant("1.0.0"), make_variant("1.1.0")
    for number in range(devices):
        make_device(str(number)).holds(old)
    make_rollout(new)


def write(name: str) -> None:
    """Everything that a device makes a server write, again and again."""
    device = EnrolledDevice(Device.objects.get(name=name))
    new, rollout = Variant.objects.get(version__version="1.1.0"), Rollout.objects.get()
    sightings = Sightings(interval_s=0)
    for number in range(ATTEMPTS):
        script = Script(new, rollout)
        story = messages(script.story())
        device.holds(new if number % 2 else None)
        for event in story:
            record_events(device=device.row, events=[event])
        record_events(device=device.row, events=story)
        count_served(
            device_id=device.row.pk,
            attempt_id=script.attempt,
            artifact_sha256=new.artifact.sha256,
            bytes_sent=7,
            redirected=False,
        )
        sightings.note(device.row.pk)


def count() -> None:
    """What stands in the database."""
    entries = LedgerEntry.objects.all()
    rows = {
        "attempts": Attempt.objects.filter(state=Attempt.State.SUCCEEDED).count(),
        "events": Event.objects.count(),
        "agent_bytes": sum(entry.agent_bytes for entry in entries),
        "server_bytes": sum(entry.server_bytes or 0 for entry in entries),
        "rollout": Rollout.objects.get().state,
        "unseen": Device.objects.filter(last_seen_at=None).count(),
    }
    sys.stdout.write(json.dumps(rows))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", devices]:
            prepare(int(devices))
        case ["write", name]:
            write(name)
        case _:
            count()
