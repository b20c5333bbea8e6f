"""Where the fleet is: how many installations of each model line run which variant."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count

from access.actors import Actor
from fleet.devices.visibility import visible_installations
from registry.models import ModelLine
from registry.names import Names, VariantName, names_of_artifacts


@dataclass(frozen=True, slots=True)
class Holding:
    """Installations of one model line that run the same thing.

    Attributes:
        name: the variant; None where nothing is installed yet, or something that this registry does not know.
        sha256: what runs; empty where nothing is installed yet.
    """

    name: VariantName | None
    sha256: str
    devices: int

    @property
    def label(self) -> str:
        """In words."""
        if self.name is not None:
            return str(self.name)
        return f"unknown {self.sha256[:12]}…" if self.sha256 else "nothing yet"


@dataclass(frozen=True, slots=True)
class LineInField:
    """A model line and who runs what of it, most first."""

    line: ModelLine
    holdings: list[Holding]

    @property
    def devices(self) -> int:
        """Installations of this line."""
        return sum(holding.devices for holding in self.holdings)

    @property
    def most(self) -> Holding | None:
        """What most of the fleet runs."""
        return next((holding for holding in self.holdings if holding.sha256), None)

    @property
    def parts(self) -> list[tuple[str, str, int]]:
        """For the bar of shares; what does not fit six colours is one last part."""
        first = [(f"c{place}", holding.label, holding.devices) for place, holding in enumerate(self.holdings[:6])]
        rest = sum(holding.devices for holding in self.holdings[6:])
        return [*first, ("rest", "others", rest)] if rest else first


def lines_in_field(lines: Iterable[ModelLine], *, actor: Actor) -> list[LineInField]:
    """What the devices that the actor may see run of these model lines; revoked ones do not count. Two queries."""
    lines = list(lines)
    rows = (
        visible_installations(actor)
        .filter(model_line__in=lines, device__revoked_at=None)
        .order_by()
        .values_list("model_line_id", "current_id", "current_sha256")
        .annotate(devices=Count("id"))
    )
    counted = list(rows)
    names = names_of_artifacts({artifact_id for _, artifact_id, _, _ in counted if artifact_id is not None})
    held: defaultdict[int, list[Holding]] = defaultdict(list)
    for line_id, artifact_id, sha256, devices in counted:
        held[line_id].append(Holding(_name(names, line_id, artifact_id), sha256, devices))
    return [
        LineInField(line, sorted(held[line.pk], key=lambda holding: (-holding.devices, holding.label)))
        for line in lines
    ]


def _name(names: Names, line_id: int, artifact_id: int | None) -> VariantName | None:
    return None if artifact_id is None else names.get((line_id, artifact_id))
