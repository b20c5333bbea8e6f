"""Devices, what they hold, and what they send. Artifacts here are rows without files, which is all that the fleet looks at."""

import hashlib
import itertools
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from access.actors import SYSTEM
from fleet.devices import enrollment, services
from fleet.devices.hearing import HeldModel, LocalRefusal, Saying, hear_device
from fleet.devices.models import Device, EnrollmentToken, Group, Installation, LinkClass
from fleet.rollouts.api.event_serializers import read_events
from fleet.rollouts.messages import EventMessage
from fleet.rollouts.models import Rollout
from fleet.rollouts.services import open_rollout
from registry.deltas.formats import BUILT_FORMAT
from registry.models import Artifact, ModelLine, Patch, Variant, Version

AT = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


def sha(name: str) -> str:
    """A digest that is stable from run to run."""
    return hashlib.sha256(name.encode()).hexdigest()


def make_artifact(name: str, size_bytes: int = 1000, kind: str = "model") -> Artifact:
    """An artifact's row; no file is stored."""
    return Artifact.objects.create(sha256=sha(name), size_bytes=size_bytes, kind=kind)


def make_variant(
    version: str = "1.0.0",
    name: str = "fp32",
    *,
    line: str = "digits",
    size_bytes: int = 900_000,
    state: str = Version.State.PUBLISHED,
    is_live: bool | None = None,
) -> Variant:
    """A variant; its line, and its version with a contract and a sample set of its own, are made where they are not there.

    One of a published version is live unless told; `tests.factories.trust` makes the signed metadata, where a test needs it.
    """
    model_line, _ = ModelLine.objects.get_or_create(name=line)
    row = Version.objects.filter(model_line=model_line, version=version).first()
    if row is None:
        row = Version.objects.create(
            model_line=model_line,
            version=version,
            contract=make_artifact(f"{line}/{version} contract", 512, "contract"),
            sample_set=make_artifact(f"{line}/{version} samples", 9_100, "sample-set"),
            state=state,
            published_at=timezone.now() if state == Version.State.PUBLISHED else None,
            yanked_at=timezone.now() if state == Version.State.YANKED else None,
        )
    return Variant.objects.create(
        version=row,
        name=name,
        artifact=make_artifact(f"{line}/{version} {name}", size_bytes),
        tolerances={"atol": 0.001, "rtol": 0.001},
        is_live=row.state == Version.State.PUBLISHED if is_live is None else is_live,
    )


def make_patch(base: Artifact | None, target: Artifact, size_bytes: int = 60_000, state: str = "ready") -> Patch:
    """A delta, or with no base a packed file; ready unless told."""
    ready: dict[str, Any] = {}
    if state == Patch.State.READY:
        name = f"patch {base.sha256 if base else ''} {target.sha256}"
        ready = {"artifact": make_artifact(name, size_bytes, "patch"), "size_bytes": size_bytes}
    return Patch.objects.create(base=base, target=target, patch_format=BUILT_FORMAT, state=state, **ready)


def make_link_class(name: str = "lte", price_per_mb: str = "0.5") -> LinkClass:
    """A link class."""
    return services.create_link_class(actor=SYSTEM, name=name, price_per_mb=Decimal(price_per_mb))[0]


def make_group(name: str = "berlin", query: str = "site=berlin") -> Group:
    """A group."""
    return services.create_group(actor=SYSTEM, name=name, query=query)[0]


def make_enrollment_token(**wish: Any) -> tuple[EnrollmentToken, str]:
    """An enrollment token and its secret."""
    return enrollment.create_enrollment_token(actor=SYSTEM, name="test", **wish)


@dataclass
class EnrolledDevice:
    """A device as its agent knows itself: its row, and a client that speaks with its credential."""

    row: Device
    api: APIClient = field(default_factory=APIClient)
    credential: str = ""

    def refresh(self) -> Device:
        """The row as it stands in the database now."""
        self.row = Device.objects.get(pk=self.row.pk)
        return self.row

    def holds(
        self,
        current: Variant | None,
        previous: Variant | None = None,
        line: str = "digits",
        refused: LocalRefusal | None = None,
    ) -> Installation:
        """Say what the device holds of one line, by the service."""
        self._say(
            HeldModel(
                line,
                current.artifact.sha256 if current else None,
                previous.artifact.sha256 if previous else None,
                refused,
            )
        )
        return self.refresh().installations.get(model_line__name=line)

    def holds_all(self, current: Mapping[str, Variant]) -> None:
        """Say what the device holds of several lines."""
        self._say(*(HeldModel(line, variant.artifact.sha256, None) for line, variant in current.items()))

    def _say(self, *held: HeldModel) -> None:
        said = Saying("0.1.0", (BUILT_FORMAT,), self.row.device_class, dict(self.row.attributes), held)
        hear_device(device=self.refresh(), said=said)


def make_device(
    name: str = "",
    *,
    device_class: str = "pi5",
    attributes: dict[str, str] | None = None,
    link_class: LinkClass | None = None,
) -> EnrolledDevice:
    """An enrolled device."""
    token = make_enrollment_token(link_class=link_class)[1]
    row, credential = enrollment.enroll_device(
        token=token, name=name or f"device-{next(_numbers)}", device_class=device_class, attributes=attributes
    )
    device = EnrolledDevice(row, credential=credential)
    device.api.credentials(HTTP_AUTHORIZATION=f"Bearer {credential}")
    return device


def make_fleet(
    count: int, *, current: Variant | None = None, link_classes: Sequence[LinkClass] = (), line: ModelLine | None = None
) -> list[Device]:
    """Many devices by bulk inserts, each with one installation that holds `current`; link classes take turns."""
    model_line = current.version.model_line if current else line
    assert model_line is not None
    devices = [
        Device(
            name=f"bulk-{number}",
            device_class="pi5",
            attributes={"site": "berlin" if number % 2 else "lyon"},
            patch_formats=[BUILT_FORMAT],
            link_class=link_classes[number % len(link_classes)] if link_classes else None,
            credential_sha256=sha(f"bulk {uuid.uuid4()}"),
            said_sha256=sha("said"),
        )
        for number in range(count)
    ]
    Device.objects.bulk_create(devices, batch_size=1000)
    artifact = current.artifact if current else None
    Installation.objects.bulk_create(
        [
            Installation(
                device=device,
                model_line=model_line,
                current=artifact,
                current_sha256=artifact.sha256 if artifact else "",
            )
            for device in devices
        ],
        batch_size=1000,
    )
    return devices


def make_rollout(target: Variant, *, group: Group | None = None, start: bool = True, **plan: Any) -> Rollout:
    """A rollout; started unless told."""
    return open_rollout(actor=SYSTEM, target=target, group=group, start=start, **plan)


@dataclass
class Script:
    """The events of one attempt, as an agent makes them."""

    target: Variant
    rollout: Rollout | None = None
    attempt: uuid.UUID = field(default_factory=uuid.uuid4)
    seq: int = 0

    def event(self, kind: str, **detail: Any) -> dict[str, Any]:
        """The next event as it stands on the wire; `from_` is written `from`."""
        self.seq += 1
        return {
            "attempt": str(self.attempt),
            "seq": self.seq,
            "kind": kind,
            "at": AT.isoformat(),
            "model": self.target.version.model_line.name,
            "target": self.target.artifact.sha256,
            "rollout": str(self.rollout.pk) if self.rollout else None,
            "detail": {key.removesuffix("_"): value for key, value in detail.items()},
        }

    def started(self, way: str = "raw") -> dict[str, Any]:
        """The attempt begins."""
        return self.event("started", from_=None, way=way)

    def transferred(self, received: int = 900_000, sent: int = 400, **changes: Any) -> dict[str, Any]:
        """One transfer of the target itself, unless told."""
        detail = {
            "artifact": self.target.artifact.sha256,
            "way": "raw",
            "bytes_received": received,
            "bytes_sent": sent,
            "complete": True,
            "requests": 1,
            "duration_s": 1.5,
        }
        return self.event("transferred", **(detail | changes))

    def activated(self, previous: Variant | None = None) -> dict[str, Any]:
        """Succeeded."""
        return self.event("activated", previous=previous.artifact.sha256 if previous else None)

    def failed(self, *, permanent: bool = True) -> dict[str, Any]:
        """Failed."""
        return self.event("failed", stage="smoke", reason="outputs-differ", detail="0.3 > 0.001", permanent=permanent)

    def rolled_back(self, to: Variant) -> dict[str, Any]:
        """The health check after activation failed."""
        return self.event("rolled_back", to=to.artifact.sha256, reason="latency", detail="p50 9.1 ms is over 5 ms")

    def story(self) -> list[dict[str, Any]]:
        """A whole attempt that goes well by the raw file."""
        return [
            self.started(),
            self.transferred(),
            self.event("applied", way="raw", duration_s=0.1, peak_memory_bytes=1000),
            self.event("smoke_passed", samples=5, max_abs_error=0.0, agreement=1.0),
            self.activated(),
        ]


def messages(events: Sequence[dict[str, Any]]) -> list[EventMessage]:
    """Wire events as the service takes them."""
    read, refused = read_events(events)
    assert not refused, refused
    return read


def in_threads(*calls: Callable[[], object]) -> None:
    """Run the calls at the same moment, each in its own thread and connection; whatever one raises, this raises."""
    ready = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        try:
            ready.wait()
            call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(run, call) for call in calls]:
            future.result()
