"""The page's tables. Pure but for `write`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.peers.deep_compression.results import PAPER_REACH, WANTED_REACH, Results
from benchmarks.peers.deep_compression.workshop import Measured
from compression.pages import Section

SECTION = Section(
    "<!-- written by python -m benchmarks.peers.deep_compression: begin -->",
    "<!-- written by python -m benchmarks.peers.deep_compression: end -->",
)

_STAGE_HEAD = (
    "stage", "file, bytes", "packed, bytes", "reach", "weights kept", "bits a weight", "index bits", "accuracy", "McNemar p", "minutes",
)  # fmt: skip


def lines(results: Results) -> Iterator[str]:
    """All tables."""
    chosen = results.chosen
    yield from _rows(
        _STAGE_HEAD,
        [
            _stage("original", results, results.original),
            _stage("channels removed", results, results.slim),
            _stage("pruned", results, chosen.pruned),
            _stage("shared", results, chosen.shared),
            _stage("coded, dead channels out", results, chosen.compact),
            *(_stage(_small_name(one.kind, one.width), results, one.measured) for one in results.small),
        ],
    )
    yield ""
    yield _sentence(results)
    yield ""
    yield "How far it goes:"
    yield ""
    head = (
        "weights kept",
        "so many",
        "packed, bytes",
        "reach",
        "accuracy",
        "difference, points",
        "McNemar p",
        "agreement",
    )
    yield from _rows(
        head,
        [
            (f"{results.kept(point.compact):.1%}", f"{point.compact.weights.kept:,}", *_curve(results, point.compact))
            for point in results.points
        ],
    )
    yield ""
    yield "What the parts of the packed files cost, in bytes, beside the order-0 entropy of all tensors with their lists of values:"
    yield ""
    parts_head = (
        "weights kept",
        "header and index",
        "table",
        "graph and names",
        "weights",
        "others",
        "entropy of the tensors",
    )
    yield from _rows(
        parts_head, [(f"{results.kept(point.compact):.1%}", *_parts(point.compact)) for point in results.points]
    )


def _stage(name: str, results: Results, measured: Measured) -> tuple[str, ...]:
    weights, paired = measured.weights, results.against_original(measured)
    return (
        name,
        f"{measured.file_bytes:,}",
        f"{measured.parts.total:,}",
        f"{results.reach(measured):.1f} x",
        f"{results.kept(measured):.1%}",
        f"{weights.value_bits:.2f}",
        f"{weights.index_bits:.2f}",
        _accuracy(measured),
        "" if measured is results.original else f"{paired.p_value:.2f}",
        f"{measured.made.cpu_s / 60:.1f}",
    )


def _curve(results: Results, measured: Measured) -> tuple[str, ...]:
    paired = results.against_original(measured)
    low, high = (f"{100 * bound:+.2f}" for bound in paired.difference_ci95)
    return (
        f"{measured.parts.total:,}",
        f"{results.reach(measured):.0f} x",
        _accuracy(measured),
        f"{100 * paired.difference:+.2f} ({low} to {high})",
        f"{paired.p_value:.3f}",
        f"{paired.agreement:.2%}",
    )


def _parts(measured: Measured) -> tuple[str, ...]:
    parts = measured.parts
    found = (parts.header, parts.table, parts.text, parts.indices, parts.others)
    return (*(f"{part:,}" for part in found), f"{measured.weights.entropy_bytes:,.0f}")


def _accuracy(measured: Measured) -> str:
    low, high = measured.ci95
    return f"{measured.accuracy:.2%} ({low:.1%} to {high:.1%})"


def _small_name(kind: str, width: int) -> str:
    how = "float32" if kind == "fp32" else "weights shared and distilled"
    return f"small net from random weights, width {width}, {how}"


def _sentence(results: Results) -> str:
    chosen = results.chosen.compact
    reach = results.reach(chosen)
    verdict = "met" if reach >= WANTED_REACH and results.holds(chosen) else "**missed**"
    said = f"{WANTED_REACH:.0f} x with no accuracy lost: {verdict} ({reach:.0f} x; the paper has {PAPER_REACH:.0f} x for SqueezeNet)."
    for one in results.small:
        difference = one.measured.accuracy - chosen.accuracy
        better = "as good" if not difference else "better" if difference > 0 else "worse"
        said += (
            f" The {_small_name(one.kind, one.width)}, packs to {one.measured.parts.total:,} bytes and is {better}:"
            f" {100 * difference:+.2f} points."
        )
    return said


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(row) + " |"


def write(page: Path, results: Results) -> None:
    """Put the tables between the page's markers; what is around them stays.

    Raises:
        ValueError: the page has no markers.
    """
    page.write_text(SECTION.put(page.read_text(encoding="utf-8"), "\n".join(lines(results))), encoding="utf-8")
