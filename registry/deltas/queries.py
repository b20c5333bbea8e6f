"""The ways to a target, and the matrix of patches.

A poll asks for the ways of one device; a forecast for those of ten thousand. Both look into a `WayTable`, which is one
query for any number of targets and then only memory.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Q, QuerySet

from access.actors import Actor
from registry.models import Artifact, ModelLine, Patch, Variant
from registry.visibility import line_condition

_PENDING = (Patch.State.WANTED, Patch.State.BUILDING)
_ORDER = {"delta": 0, "packed": 1, "raw": 2}


@dataclass(frozen=True, slots=True)
class Way:
    """One means of getting a target.

    Attributes:
        way: `delta`, `packed` or `raw`.
        sha256: of the file to fetch: the patch, or the target itself.
        size_bytes: of that file.
        base: digest of the artifact that the patch needs; of a delta only.
        format: patch format; None for raw.
    """

    way: str
    sha256: str
    size_bytes: int
    base: str | None = None
    format: int | None = None


@dataclass(frozen=True, slots=True)
class WayTable:
    """Everything that leads to one target, or soon will."""

    raw: Way
    patches: tuple[Way, ...] = ()
    pending: frozenset[tuple[str | None, int]] = frozenset()
    """Base (None: packed) and format of the patches that are being made."""
    _by_base: Mapping[str | None, tuple[Way, ...]] = field(default_factory=dict)

    def ways(self, held: Collection[str], formats: Collection[int]) -> list[Way]:
        """The ways of a device that holds these artifacts and reads these formats, fewest bytes first; raw is one of them."""
        found = [self.raw]
        for base in {None, *held}:
            found += [way for way in self._by_base.get(base, ()) if way.format in formats]
        return sorted(found, key=lambda way: (way.size_bytes, _ORDER[way.way], way.base or "", way.format or 0))

    def is_pending(self, held: Collection[str], formats: Collection[int]) -> bool:
        """Whether a better way is being made: a delta from what is held, or a packed file where there is only raw."""
        if any((base, number) in self.pending for base in held for number in formats):
            return True
        only_raw = len(self.ways(held, formats)) == 1
        return only_raw and any((None, number) in self.pending for number in formats)


def way_tables(targets: Iterable[Artifact]) -> dict[str, WayTable]:
    """The tables of several targets by the target's digest; one query."""
    wanted = {artifact.pk: artifact for artifact in targets}
    rows = Patch.objects.filter(
        Q(state=Patch.State.READY) | Q(state__in=_PENDING), target__in=wanted.values()
    ).values_list("target_id", "state", "base__sha256", "patch_format", "artifact__sha256", "artifact__size_bytes")
    ready: dict[int, list[Way]] = {pk: [] for pk in wanted}
    pending: dict[int, set[tuple[str | None, int]]] = {pk: set() for pk in wanted}
    for target, state, base, number, sha256, size_bytes in rows:
        if state == Patch.State.READY:
            ready[target].append(Way("delta" if base else "packed", sha256, size_bytes, base, number))
        else:
            pending[target].add((base, number))
    return {
        artifact.sha256: table_of(Way("raw", artifact.sha256, artifact.size_bytes), ready[pk], pending[pk])
        for pk, artifact in wanted.items()
    }


def table_of(raw: Way, ready: Sequence[Way], pending: Iterable[tuple[str | None, int]] = ()) -> WayTable:
    """The table of these ways."""
    by_base: dict[str | None, tuple[Way, ...]] = {}
    for way in ready:
        by_base[way.base] = (*by_base.get(way.base, ()), way)
    return WayTable(raw, tuple(ready), frozenset(pending), by_base)


def way_table(target: Artifact) -> WayTable:
    """The table of one target."""
    return way_tables([target])[target.sha256]


@dataclass(frozen=True, slots=True)
class MatrixArtifact:
    """One side of a patch; `variants` are the names of what these bytes are, such as `digits/1.1.0 fp32`."""

    sha256: str
    size_bytes: int
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """A patch with the names of its sides; `base` is None for a packed one."""

    patch: Patch
    base: MatrixArtifact | None
    target: MatrixArtifact


def patches_of(model_line: ModelLine) -> QuerySet[Patch]:
    """The patches to the artifacts of a line, newest targets first, packed before deltas."""
    targets = Variant.objects.filter(version__model_line=model_line).values("artifact")
    patches = Patch.objects.filter(target__in=targets).select_related("base", "target", "artifact")
    return patches.order_by("-target_id", "base_id", "patch_format")


def matrix_of(patches: Iterable[Patch], *, actor: Actor) -> list[MatrixCell]:
    """The patches with the names of what lies at both ends, as far as the actor may see those; one more query."""
    rows = list(patches)
    names = _variant_names(
        actor, {patch.target_id for patch in rows} | {patch.base_id for patch in rows if patch.base_id}
    )
    return [
        MatrixCell(patch, _side(patch.base, names) if patch.base else None, _side(patch.target, names))
        for patch in rows
    ]


def _side(artifact: Artifact, names: Mapping[int, Sequence[str]]) -> MatrixArtifact:
    return MatrixArtifact(artifact.sha256, artifact.size_bytes, tuple(names.get(artifact.pk, ())))


def _variant_names(actor: Actor, artifact_ids: Collection[int]) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    seen = Variant.objects.filter(line_condition(actor, "version__model_line"), artifact__in=artifact_ids)
    variants = seen.select_related("version__model_line").order_by("id")
    for variant in variants:
        names.setdefault(variant.artifact_id, []).append(str(variant))
    return names
