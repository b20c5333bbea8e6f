"""Lists of devices with what they run, and one device with its history."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from access.actors import Actor
from fleet.devices.models import Device, Installation
from fleet.devices.queries import waits_for
from fleet.devices.selectors import condition, parse_query
from fleet.devices.visibility import visible_devices, visible_installations
from registry.names import Names, name_in, names_of_artifacts


@dataclass(frozen=True, slots=True)
class InstallationRow:
    """An installation with its artifacts by name."""

    installation: Installation
    current: str
    previous: str
    target: str

    @property
    def is_there(self) -> bool:
        """Whether it runs its target, or has none."""
        target = self.installation.target
        return target is None or target.artifact_id == self.installation.current_id


def found_devices(text: str, *, actor: Actor, waiting_for: str = "") -> QuerySet[Device]:
    """Devices that the actor may see, by a part of their name, or by a query of terms as groups have them, if it has one of `=`, `!` and `,`.

    With `waiting_for` only those that this rule of their own keeps from what the server wants.

    Raises:
        QueryInvalid: the query cannot be read.
    """
    devices = visible_devices(actor).select_related("link_class").order_by("name", "id")
    if waiting_for:
        devices = devices.filter(waits_for(waiting_for, actor=actor))
    text = text.strip()
    if not text:
        return devices
    if any(sign in text for sign in "=!,"):
        return devices.filter(condition(parse_query(text)))
    return devices.filter(name__icontains=text)


def installation_rows(device_ids: Collection[UUID], *, actor: Actor) -> dict[UUID, list[InstallationRow]]:
    """What these devices hold, as far as the actor may see it, by device. Two queries."""
    installations = list(
        visible_installations(actor)
        .filter(device_id__in=device_ids, active=True)
        .select_related("model_line", "target__version__model_line")
        .order_by("model_line__name")
    )
    ids = {
        artifact for each in installations for artifact in (each.current_id, each.previous_id) if artifact is not None
    }
    names = names_of_artifacts(ids)
    rows: dict[UUID, list[InstallationRow]] = {device_id: [] for device_id in device_ids}
    for each in installations:
        rows[each.device_id].append(_row(each, names))
    return rows


def _row(installation: Installation, names: Names) -> InstallationRow:
    target = installation.target
    return InstallationRow(
        installation=installation,
        current=_label(installation, names, installation.current_id, installation.current_sha256),
        previous=_label(installation, names, installation.previous_id, installation.previous_sha256),
        target=f"{target.version.version} {target.name}" if target else "",
    )


def _label(installation: Installation, names: Names, artifact_id: int | None, sha256: str) -> str:
    name = name_in(names, installation.model_line_id, artifact_id, wanted=installation.target)
    if name is not None:
        return str(name)
    return f"unknown {sha256[:12]}…" if sha256 else ""
