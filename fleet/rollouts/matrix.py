"""The plan of patches as a matrix for people: from what devices hold, to what they may be brought to, and what stands of each pair."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from access.actors import Actor
from fleet.devices.holdings import Holding, holdings_of
from registry.deltas.expectation import Expected
from registry.deltas.outlook import Outlook
from registry.deltas.planning import Pair, PlannedPair, Status
from registry.deltas.queries import patches_of
from registry.models import Artifact, ModelLine, Patch, Variant
from registry.visibility import line_condition

STATUS_OF = {
    Patch.State.WANTED: Status.PLANNED,
    Patch.State.BUILDING: Status.BUILDING,
    Patch.State.READY: Status.BUILT,
    Patch.State.USELESS: Status.NOT_WORTH_IT,
    Patch.State.FAILED: Status.FAILED,
}


@dataclass(frozen=True, slots=True)
class Side:
    """One end of pairs.

    Attributes:
        sha256: None is nothing, which packed files start from.
        names: the variants that these bytes are, those of the line without its name.
        devices: that hold it; for nothing, those that hold nothing to start from.
    """

    sha256: str | None
    size_bytes: int
    names: tuple[str, ...]
    devices: int

    @property
    def label(self) -> str:
        """Short, for a table."""
        if self.sha256 is None:
            return "nothing (packed)"
        return self.names[0] if self.names else f"{self.sha256[:12]}…"


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands of one pair.

    Attributes:
        size_bytes: of the patch, also of one that was not worth keeping; `share` is of the plain file.
        saved_bytes: over the devices that hold the base, against what they would fetch without it.
        effort: it was made with; empty where it was not made.
        reason: why there is none, or none will be made.
    """

    pair: Pair
    status: Status
    devices: int
    target_bytes: int
    size_bytes: int | None = None
    expected: Expected | None = None
    saved_bytes: int = 0
    effort: str = ""
    format: int | None = None
    build_s: float | None = None
    built_at: datetime | None = None
    reason: str = ""

    @property
    def share(self) -> float | None:
        """Of the plain file."""
        return None if self.size_bytes is None else self.size_bytes / self.target_bytes


@dataclass(frozen=True, slots=True)
class PatchMatrix:
    """From each base to each target of a line; a pair that nobody needs has no cell."""

    outlook: Outlook
    froms: tuple[Side, ...]
    tos: tuple[Side, ...]
    cells: Mapping[Pair, Cell]

    @property
    def pairs(self) -> list[Cell]:
        """The cells, in the order of the plan."""
        return list(self.cells.values())


def patch_matrix(model_line: ModelLine, outlook: Outlook, *, actor: Actor, with_past: bool = False) -> PatchMatrix:
    """The plan of the line with what was built.

    Args:
        model_line: whose.
        outlook: its plan.
        actor: who looks, and reads the names of variants of other lines only where they may see those.
        with_past: show also the patches that the plan needs no more: to older versions, and from what nobody holds.
    """
    rows: dict[Pair, Patch] = {}
    for patch in patches_of(model_line).exclude(state=Patch.State.RETIRED).order_by("patch_format", "pk"):
        rows[Pair(patch.base.sha256 if patch.base else None, patch.target.sha256)] = patch
    planned = outlook.plan.pairs
    pairs = dict.fromkeys([*planned, *rows] if with_past else planned)
    artifacts = {**outlook.artifacts, **_ends(rows.values())}
    holdings = holdings_of(model_line=model_line, bases={pair.base for pair in pairs if pair.base})
    cells = {pair: _cell(pair, planned.get(pair), rows.get(pair), artifacts, holdings) for pair in pairs}
    names = _names(model_line, actor, {artifact.pk for artifact in artifacts.values()})

    def side(digest: str | None) -> Side:
        artifact = artifacts[digest] if digest else None
        known = tuple(name for _, name in names.get(artifact.pk, ())) if artifact else ()
        return Side(digest, artifact.size_bytes if artifact else 0, known, _devices(digest, holdings, artifacts))

    def newest_first(digest: str) -> tuple[int, str]:
        return -max((pk for pk, _ in names.get(artifacts[digest].pk, ())), default=0), digest

    bases = sorted({pair.base for pair in pairs if pair.base}, key=newest_first)
    targets = sorted({pair.target for pair in pairs}, key=newest_first)
    return PatchMatrix(
        outlook,
        tuple(side(digest) for digest in (None, *bases)) if pairs else (),
        tuple(side(digest) for digest in targets),
        cells,
    )


def _ends(patches: Iterable[Patch]) -> dict[str, Artifact]:
    ends = [end for patch in patches for end in (patch.base, patch.target) if end is not None]
    return {artifact.sha256: artifact for artifact in ends}


def _cell(
    pair: Pair,
    planned: PlannedPair | None,
    patch: Patch | None,
    artifacts: Mapping[str, Artifact],
    holdings: Collection[Holding],
) -> Cell:
    """What the plan says, with what is recorded of the patch; without a plan, what is recorded."""
    target_bytes = artifacts[pair.target].size_bytes
    if planned is None:
        status = STATUS_OF[Patch.State(patch.state)] if patch else Status.NOT_WORTH_IT
        planned = PlannedPair(
            pair,
            status,
            _devices(pair.base, holdings, artifacts),
            patch.size_bytes if patch else None,
            reason=patch.failure if patch else "",
        )
    is_made = patch is not None and patch.size_bytes is not None
    return Cell(
        pair=pair,
        status=planned.status,
        devices=planned.devices,
        target_bytes=target_bytes,
        size_bytes=planned.size_bytes,
        expected=planned.expected,
        saved_bytes=planned.saved_bytes,
        effort=patch.effort if patch is not None and is_made else "",
        format=patch.patch_format if patch is not None and is_made else None,
        build_s=patch.build_s if patch is not None else None,
        built_at=patch.built_at if patch is not None else None,
        reason=planned.reason,
    )


def _devices(digest: str | None, holdings: Iterable[Holding], artifacts: Mapping[str, Artifact]) -> int:
    """How many installations hold it; for None, how many hold nothing that the registry could start from."""
    if digest is not None:
        return sum(holding.count for holding in holdings if digest in holding.held)
    return sum(holding.count for holding in holdings if artifacts.keys().isdisjoint(holding.held))


def _names(model_line: ModelLine, actor: Actor, artifact_ids: Collection[int]) -> dict[int, list[tuple[int, str]]]:
    """By artifact, the variants that it is, those of the line first and of these the newest first."""
    seen = Variant.objects.filter(line_condition(actor, "version__model_line"), artifact__in=artifact_ids)
    rows = seen.select_related("version__model_line").order_by("-id")
    names: dict[int, list[tuple[int, str]]] = {}
    own_first = sorted(rows, key=lambda variant: variant.version.model_line_id != model_line.pk)
    for variant in own_first:
        name = str(variant).removeprefix(f"{model_line.name}/")
        names.setdefault(variant.artifact_id, []).append((variant.pk, name))
    return names
