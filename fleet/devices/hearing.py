"""What a device says it holds, and what follows from it."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass

from django.db import transaction
from django.utils import timezone

from fleet.devices.models import Device, Installation
from fleet.rollouts.completion import finish_completed
from fleet.rollouts.joining import close_arrived, join_running_rollouts
from registry.models import Artifact, ModelLine

_SAID_FIELDS = [
    "active",
    "current_sha256",
    "previous_sha256",
    "current",
    "previous",
    "refused_rule",
    "refused_detail",
    "refused_since",
    "updated_at",
]


@dataclass(frozen=True, slots=True)
class LocalRefusal:
    """A rule of the device's own policy that keeps it from what the server wants."""

    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class HeldModel:
    """One model line on the device: digests, or None where it holds nothing; `refused` while a local rule says no."""

    model: str
    current: str | None
    previous: str | None
    refused: LocalRefusal | None = None


@dataclass(frozen=True, slots=True)
class Saying:
    """The body of POST /poll."""

    agent_version: str
    patch_formats: tuple[int, ...]
    device_class: str
    attributes: Mapping[str, str]
    installations: tuple[HeldModel, ...]

    def digest(self) -> str:
        """The SHA-256 of what was said, in one canonical form."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def hear_device(*, device: Device, said: Saying) -> Device:
    """Take down what the device says; writes nothing when it says what it said before.

    A model line that it names and the registry has becomes an installation, which joins the rollout that is running over it; one that its enrollment
    token did not allow is passed over. One that it no longer names takes no part in rollouts and forecasts, and keeps its history.
    """
    digest = said.digest()
    if device.said_sha256 == digest and not device.unknown_models:
        return device
    with transaction.atomic():
        # One device's messages are taken one after the other, whichever process they reach.
        device = Device.objects.select_for_update(no_key=True).get(pk=device.pk)
        named = [held.model for held in said.installations if device.may_read_line(held.model)]
        lines = {line.name: line for line in ModelLine.objects.filter(name__in=named)}
        _take_device(device, said, digest, unknown=set(named) - set(lines))
        _take_installations(device, said, lines)
        arrived = close_arrived(device=device)
    finish_completed(arrived)
    return device


def _take_device(device: Device, said: Saying, digest: str, *, unknown: Collection[str]) -> None:
    device.agent_version = said.agent_version
    device.patch_formats = list(said.patch_formats)
    device.device_class = said.device_class
    device.attributes = {**said.attributes, **device.fixed_attributes}
    device.said_sha256 = digest
    device.unknown_models = sorted(unknown)
    device.save(
        update_fields=["agent_version", "patch_formats", "device_class", "attributes", "said_sha256", "unknown_models"]
    )


def _take_installations(device: Device, said: Saying, lines: Mapping[str, ModelLine]) -> None:
    held = {lines[one.model].pk: one for one in said.installations if one.model in lines}
    existing = {row.model_line_id: row for row in device.installations.all()}
    newcomers = [pk for pk in held if pk not in existing or not existing[pk].active]
    # A rollout that starts locks its line before it looks who is there: whoever comes now is seen by it, or sees it.
    len(ModelLine.objects.select_for_update(no_key=True).filter(pk__in=newcomers).order_by("pk").values("pk"))
    artifacts = _artifacts(said.installations)
    for line_id in sorted(held):
        row = existing.get(line_id) or Installation(device=device, model_line_id=line_id)
        _take_installation(row, held[line_id], artifacts)
    device.installations.filter(active=True).exclude(model_line_id__in=held).update(
        active=False,
        target=None,
        rollout=None,
        refused_rule="",
        refused_detail="",
        refused_since=None,
        updated_at=timezone.now(),
    )
    if newcomers:
        join_running_rollouts(device=device, model_line_ids=newcomers)


def _take_installation(row: Installation, held: HeldModel, artifacts: Mapping[str, Artifact]) -> None:
    row.active = True
    row.current_sha256, row.previous_sha256 = held.current or "", held.previous or ""
    row.current = artifacts.get(row.current_sha256)
    row.previous = artifacts.get(row.previous_sha256)
    _take_refusal(row, held.refused)
    if row._state.adding:  # noqa: SLF001 - Django's documented flag
        row.save(force_insert=True)
    else:
        row.save(update_fields=_SAID_FIELDS)


def _take_refusal(row: Installation, refused: LocalRefusal | None) -> None:
    if refused is None:
        row.refused_rule, row.refused_detail, row.refused_since = "", "", None
        return
    if row.refused_rule != refused.rule:  # the same rule for another reason is still the same wait
        row.refused_since = timezone.now()
    row.refused_rule, row.refused_detail = refused.rule, refused.detail


def _artifacts(installations: Iterable[HeldModel]) -> dict[str, Artifact]:
    digests = {sha256 for held in installations for sha256 in (held.current, held.previous) if sha256}
    return {
        artifact.sha256: artifact for artifact in Artifact.objects.filter(sha256__in=digests, kind=Artifact.Kind.MODEL)
    }
