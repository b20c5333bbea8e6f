"""Measures the ladder against NNCodec and generic differs on trained pairs: `python -m benchmarks.peers.ladder`.

Five pairs (digits and MNIST, two seeds each, one in which v2 learns to read turned images), five folds each: v1, v2 and rungs are made on
four folds and asked for the fifth. Everything is kept as it is made, so a run that was stopped goes on where it was; `--part`, `--pair` and
`--folds` do some of it. Writes the tables into docs/ladder-measured.md and the curve to docs/pictures/ladder.svg. One processor thread; takes
some three and a half hours of one core, two runs on different pairs may go side by side. Needs the extras `compression` and `peers`.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.peers.codecs.nncodec import VERSION
from benchmarks.peers.folders import default_cache
from benchmarks.peers.ladder.measuring import PARTS, Fold, measure_fold
from benchmarks.peers.ladder.pairs import FOLDS, PAIRS
from benchmarks.peers.ladder.picture import draw
from benchmarks.peers.ladder.table import markdown

BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
SHORT_PAIRS, SHORT_FOLDS = ("digits-1",), 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, then write or print the tables."""
    args = _parser().parse_args(arguments)
    pairs = SHORT_PAIRS if args.short else tuple(args.pairs or PAIRS)
    count = SHORT_FOLDS if args.short else args.folds
    parts = () if args.kept else tuple(args.parts or PARTS)
    folds = list(_folds(pairs, count, parts, args.cache))
    lines = [_said(folds), "", *markdown(folds, ordinary=frozenset(n for n, p in PAIRS.items() if p.is_ordinary))]
    if args.short or args.print:
        print("\n".join(lines))
        return 0
    draw(folds, args.picture)
    shown = Path(os.path.relpath(args.picture, args.out.parent)).as_posix()
    _write(args.out, [f"![Bytes against answers that are not v2's, a panel for each pair]({shown})", "", *lines])
    print(f"written: {args.out}, {args.picture}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.ladder", description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where everything is kept (%(default)s)")
    parser.add_argument("--pair", dest="pairs", action="append", choices=list(PAIRS), help="only this pair")
    parser.add_argument("--folds", type=int, default=FOLDS, choices=range(1, FOLDS + 1), help="only so many folds")
    parser.add_argument("--part", dest="parts", action="append", choices=PARTS, help="measure only this")
    parser.add_argument("--kept", action="store_true", help="measure nothing but the pairs, show what is known")
    parser.add_argument("--short", action="store_true", help="one pair, two folds, printed")
    parser.add_argument("--print", action="store_true", help="print the tables, write nothing")
    parser.add_argument("--out", type=Path, default=Path("docs/ladder-measured.md"), help="page (%(default)s)")
    parser.add_argument("--picture", type=Path, default=Path("docs/pictures/ladder.svg"), help="curve (%(default)s)")
    return parser


def _folds(pairs: Sequence[str], count: int, parts: tuple[str, ...], cache: Path) -> Iterator[Fold]:
    # A fold of every pair before the next fold of any: what is done early says something of all.
    found = [
        measure_fold(PAIRS[name], number, parts, cache=cache, say=lambda message: print(message, file=sys.stderr))
        for number in range(count)
        for name in pairs
    ]
    yield from sorted(found, key=lambda fold: (list(PAIRS).index(fold.pair), fold.number))


def _said(folds: Sequence[Fold]) -> str:
    missing = [f"{fold.pair} fold {fold.number + 1}: {p}" for fold in folds for p in PARTS if p not in fold.parts]
    whole = f"{len(folds)} folds of {len({fold.pair for fold in folds})} pairs; NNCodec {VERSION}."
    return whole if not missing else f"{whole} Not measured: {', '.join(missing)}."


def _write(page: Path, lines: Sequence[str]) -> None:
    """Put the tables between their marks; the words around them are people's."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text("\n".join([before + BEGIN, "", *lines, "", END + after]), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
