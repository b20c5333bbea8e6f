"""The ladder's curve as SVG: bytes against how much of the agreement with v2 is lost, one panel a pair, the same folds for everybody."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.ladder.records import Fold
from benchmarks.peers.ladder.table import Pooled, pooled_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST = 2e-4
"""Where full agreement is drawn on a logarithmic axis."""
_COLUMNS = 3


def draw(folds: Sequence[Fold], path: Path) -> None:
    """Write the picture; the same folds give the same file."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    pairs = list(dict.fromkeys(fold.pair for fold in folds))
    rows = -(-len(pairs) // _COLUMNS)
    with mpl.rc_context({"svg.hashsalt": "smallfleet", "svg.fonttype": "none", "font.size": 8}):
        columns = min(_COLUMNS, len(pairs))
        figure, panels = plt.subplots(
            rows, columns, figsize=(3.6 * columns, 3.0 * rows), layout="constrained", sharey=True, squeeze=False
        )
        for panel in panels.flat[len(pairs) :]:
            panel.set_visible(False)
        for pair, panel in zip(pairs, panels.flat, strict=False):
            _draw_pair([fold for fold in folds if fold.pair == pair], panel)
            panel.set_title(pair)
        panels.flat[0].legend(fontsize=7)
        figure.supxlabel("bytes from v1 (mean of the folds)")
        figure.supylabel("answers that are not v2's")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _draw_pair(folds: Sequence[Fold], panel: "Axes") -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.grid(visible=True, which="major", linewidth=0.4, alpha=0.5)
    curves = (
        ("trained", "ladder, trained", "o-", "tab:blue"),
        ("without", "ladder, without training", "s-", "tab:green"),
    )
    for part, label, style, colour in curves:
        _plot(panel, pooled_points(folds, part), label, style, colour)
    _plot(panel, _lower_edge(pooled_points(folds, "nncodec")), "NNCodec at its best", "^--", "tab:red")
    colours = ("black", "tab:gray", "tab:brown")
    names = dict.fromkeys(point.name for fold in folds for point in fold.parts.get("differs", ()))
    for name, colour in zip(names, colours, strict=False):
        sizes = [p.size_bytes for fold in folds for p in fold.parts["differs"] if p.name == name]
        panel.plot([sum(sizes) / len(sizes)], [_LEAST], "x", color=colour, label=name)
    for agreement in (0.995, 0.99):
        panel.axhline(1 - agreement, color="tab:gray", linewidth=0.5, linestyle=":")


def _plot(panel: "Axes", points: Sequence[Pooled], label: str, style: str, colour: str) -> None:
    if points:
        lost = [max(1 - point.paired.agreement, _LEAST) for point in points]
        panel.plot([p.size_bytes for p in points], lost, style, color=colour, label=label, markersize=4, linewidth=1)


def _lower_edge(points: Sequence[Pooled]) -> list[Pooled]:
    """Those that no other beats in bytes without losing agreement; `points` rise in bytes."""
    found: list[Pooled] = []
    for point in points:
        if not found or point.paired.agreement > found[-1].paired.agreement:
            found.append(point)
    return found
