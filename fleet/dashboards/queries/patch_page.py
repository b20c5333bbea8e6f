"""What the page of a line's patches shows: the matrix of the plan, what is missing and why, and what of the budget is used."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from access.actors import Actor
from fleet.rollouts.matrix import Cell, PatchMatrix, Side, patch_matrix
from fleet.rollouts.patches import line_outlook
from registry.deltas.outlook import Outlook
from registry.deltas.planning import Pair, Status
from registry.models import ModelLine

MISSING_SHOWN = 20
STATUS_WORDS = {
    Status.BUILT: "built",
    Status.BUILDING: "building",
    Status.PLANNED: "planned",
    Status.OVER_BUDGET: "over budget",
    Status.FAILED: "failed",
    Status.NOT_WORTH_IT: "not worth it",
}


@dataclass(frozen=True, slots=True)
class PairRow:
    """One pair with its words.

    Attributes:
        is_same: from and to are the same bytes; there is no cell then, nor where nobody needs the pair.
    """

    base: Side
    target: Side
    cell: Cell | None

    @property
    def is_same(self) -> bool:
        return self.base.sha256 == self.target.sha256

    @property
    def status_words(self) -> str:
        return STATUS_WORDS[self.cell.status] if self.cell else ""

    @property
    def evidence(self) -> str:
        """Where the expectation is from."""
        expected = self.cell.expected if self.cell else None
        if expected is None:
            return ""
        return f"by {expected.alike} alike" if expected.alike else "by the prior"


@dataclass(frozen=True, slots=True)
class PatchPage:
    """What the page shows.

    Attributes:
        rows: by base, a pair for each target.
        missing: the pairs without a patch, most bytes saved first, and how many more there are.
    """

    matrix: PatchMatrix
    rows: list[tuple[Side, list[PairRow]]]
    missing: list[PairRow]
    missing_more: int
    counts: Mapping[Status, int]

    @property
    def outlook(self) -> Outlook:
        """The plan that is shown."""
        return self.matrix.outlook

    @property
    def figures(self) -> list[tuple[str, int]]:
        """How many pairs of the plan have each status that any has."""
        return [(words, self.counts[status]) for status, words in STATUS_WORDS.items() if self.counts.get(status)]

    @property
    def built_bytes(self) -> int:
        """What the built ones of the plan weigh together."""
        planned = self.outlook.plan.pairs.values()
        return sum(one.size_bytes or 0 for one in planned if one.status == Status.BUILT)


def patch_page(
    model_line: ModelLine,
    *,
    actor: Actor,
    storage_bytes: float | None = None,
    build_s: float | None = None,
    effort: str = "",
) -> PatchPage:
    """Everything on the page, planned with this budget, or with what the standing one has left."""
    outlook = line_outlook(model_line, storage_bytes=storage_bytes, build_s=build_s, effort=effort)
    matrix = patch_matrix(model_line, outlook, actor=actor, with_past=True)
    rows = [
        (base, [PairRow(base, target, matrix.cells.get(_pair(base, target))) for target in matrix.tos])
        for base in matrix.froms
    ]
    planned = [row for _, pairs in rows for row in pairs if row.cell and row.cell.pair in outlook.plan.pairs]
    missing = [row for row in planned if row.cell and row.cell.status != Status.BUILT]
    missing.sort(key=lambda row: -(row.cell.saved_bytes if row.cell else 0))
    return PatchPage(
        matrix=matrix,
        rows=rows,
        missing=missing[:MISSING_SHOWN],
        missing_more=max(0, len(missing) - MISSING_SHOWN),
        counts=Counter(row.cell.status for row in planned if row.cell),
    )


def _pair(base: Side, target: Side) -> Pair:
    return Pair(base.sha256, target.sha256 or "")
