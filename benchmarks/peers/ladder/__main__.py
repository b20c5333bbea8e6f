"""Measures the ladder against NNCodec and generic differs on trained pairs: `python -m benchmarks.peers.ladder`.

Five pairs (digits and MNIST, two seeds each, one in which v2 learns to read turned images), five folds each: v1, v2 and rungs are made on
four folds and asked for the fifth. What was measured is kept under docs/measured/ladder, so a run that was stopped goes on where it was, on
another machine too if that trains the same nets to the bit; `--part`, `--pair` and `--folds` do some of it. Writes the tables into
docs/ladder-measured.md and the curve to docs/pictures/ladder.svg. One processor thread; takes some three hours of one core, two runs on
different pairs may go side by side. Needs the extras `compression` and `peers`.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.peers.codecs.nncodec import VERSION
from benchmarks.peers.folders import default_cache
from benchmarks.peers.ladder.measuring import measure_fold
from benchmarks.peers.ladder.pairs import FOLDS, PAIRS
from benchmarks.peers.ladder.picture import draw
from benchmarks.peers.ladder.records import PARTS, Fold
from benchmarks.peers.ladder.table import markdown
from compression.pages import Section

PAGE, RECORDS = Path("docs/ladder-measured.md"), Path("docs/measured/ladder")
SECTION = Section("<!-- measured -->", "<!-- end of measured -->")
SHORT_PAIRS, SHORT_FOLDS = ("digits-1",), 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, then write or print the tables."""
    args = _parser().parse_args(arguments)
    pairs = SHORT_PAIRS if args.short else tuple(args.pairs or PAIRS)
    count = SHORT_FOLDS if args.short else args.folds
    parts = () if args.kept else tuple(args.parts or PARTS)
    folds = list(_folds(pairs, count, parts, cache=args.cache, kept=args.records))
    shown = [fold for fold in folds if len(fold.parts) == len(PARTS)] or folds
    ordinary = frozenset(name for name, pair in PAIRS.items() if pair.is_ordinary)
    lines = [_said(shown, count * len(pairs)), "", *markdown(shown, ordinary=ordinary)]
    if args.short or args.print:
        print("\n".join(lines))
        return 0
    draw(shown, args.picture)
    picture = Path(os.path.relpath(args.picture, args.out.parent)).as_posix()
    text = "\n".join([f"![Bytes against answers that are not v2's, a panel for each pair]({picture})", "", *lines])
    args.out.write_text(SECTION.put(args.out.read_text(encoding="utf-8"), text), encoding="utf-8")
    print(f"written: {args.out}, {args.picture}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.ladder", description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where nets are kept (%(default)s)")
    parser.add_argument(
        "--records", type=Path, default=RECORDS, help="where what was measured is kept, a file a fold (%(default)s)"
    )
    parser.add_argument("--pair", dest="pairs", action="append", choices=list(PAIRS), help="only this pair")
    parser.add_argument("--folds", type=int, default=FOLDS, choices=range(1, FOLDS + 1), help="only so many folds")
    parser.add_argument("--part", dest="parts", action="append", choices=PARTS, help="measure only this")
    parser.add_argument("--kept", action="store_true", help="measure nothing, show what is known")
    parser.add_argument("--short", action="store_true", help="one pair, two folds, printed")
    parser.add_argument("--print", action="store_true", help="print the tables, write nothing")
    parser.add_argument("--out", type=Path, default=PAGE, help="page (%(default)s)")
    parser.add_argument("--picture", type=Path, default=Path("docs/pictures/ladder.svg"), help="curve (%(default)s)")
    return parser


def _folds(pairs: Sequence[str], count: int, parts: tuple[str, ...], *, cache: Path, kept: Path) -> Iterator[Fold]:
    # A fold of every pair before the next fold of any: what is done early says something of all.
    found = [
        measure_fold(
            PAIRS[name], number, parts, cache=cache, kept=kept, say=lambda message: print(message, file=sys.stderr)
        )
        for number in range(count)
        for name in pairs
    ]
    known = [fold for fold in found if fold is not None]
    yield from sorted(known, key=lambda fold: (list(PAIRS).index(fold.pair), fold.number))


def _said(folds: Sequence[Fold], wanted: int) -> str:
    whole = f"{len(folds)} folds of {len({fold.pair for fold in folds})} pairs; NNCodec {VERSION}."
    return whole if len(folds) == wanted else f"{whole} **{wanted - len(folds)} folds are not measured yet.**"


if __name__ == "__main__":
    raise SystemExit(main())
