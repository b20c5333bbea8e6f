"""The figures of the table, and what follows from them. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.paired import Paired, compare
from benchmarks.peers.deep_compression.plans import Plan
from benchmarks.peers.deep_compression.workshop import Measured

SIGNIFICANT = 0.05
PAPER_REACH = 10.0
WANTED_REACH = 30.0


@dataclass(frozen=True, slots=True)
class Point:
    """One sparsity, stage by stage: pruned and folded; shared; without the channels that this left dead, which is what is shipped."""

    sparsity: float
    pruned: Measured
    shared: Measured
    compact: Measured


@dataclass(frozen=True, slots=True)
class Small:
    """A small net trained from random weights, of width `width`, its weights float32 or shared."""

    kind: str
    width: int
    measured: Measured


@dataclass(frozen=True, slots=True)
class Results:
    """All that was measured; `slim` is the original with channels removed, `labels` are those of the held-out samples."""

    plan: Plan
    original: Measured
    slim: Measured
    points: Sequence[Point]
    labels: tuple[int, ...]
    small: Sequence[Small]

    def against_original(self, measured: Measured) -> Paired:
        """McNemar on the held-out samples."""
        return compare(measured.classes, self.original.classes, self.labels)

    def reach(self, measured: Measured) -> float:
        """The original's plain file by this one's packed file."""
        return self.original.file_bytes / measured.parts.total

    def kept(self, measured: Measured) -> float:
        """The share of the original's weights that is left."""
        return measured.weights.kept / self.original.weights.count

    def holds(self, measured: Measured) -> bool:
        """Whether no accuracy is lost as far as these samples can tell: McNemar does not find the net worse."""
        paired = self.against_original(measured)
        return paired.difference >= 0 or paired.p_value >= SIGNIFICANT

    @property
    def chosen(self) -> Point:
        """The fewest packed bytes that hold; where none does, the most accurate."""
        holding = [point for point in self.points if self.holds(point.compact)]
        if holding:
            return min(holding, key=lambda point: point.compact.parts.total)
        return max(self.points, key=lambda point: point.compact.accuracy)

    def as_json(self) -> dict[str, Any]:
        """For a program; answers by sample are left out."""
        return {
            "plan": self.plan.name,
            "original": self._row(self.original),
            "slim": self._row(self.slim),
            "points": [
                {
                    "sparsity": point.sparsity,
                    **{stage: self._row(getattr(point, stage)) for stage in ("pruned", "shared", "compact")},
                }
                for point in self.points
            ],
            "chosen": self.chosen.sparsity,
            "small": [{"kind": one.kind, "width": one.width, **self._row(one.measured)} for one in self.small],
        }

    def _row(self, measured: Measured) -> dict[str, Any]:
        return {
            "file_bytes": measured.file_bytes,
            "packed_bytes": measured.parts.total,
            "reach": self.reach(measured),
            "parts": asdict(measured.parts),
            "weights": asdict(measured.weights),
            "accuracy": measured.accuracy,
            "accuracy_ci95": measured.ci95,
            "against_original": asdict(self.against_original(measured)),
            "cpu_s": measured.made.cpu_s,
        }
