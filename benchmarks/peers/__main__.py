"""Compares our codec with others on real model files: `python -m benchmarks.peers`.

`corpus` assembles the pairs (wheels are fetched, nets trained: some minutes, once), `environments` sets up peers that need
an environment of their own, `table` measures what is not measured yet and prints the comparison; it makes what is missing
of the corpus first, and is what runs when nothing is said. Peers' results are kept by digests and version, so after a
change of our codec only ours is measured again. Needs the extras `compression` and `peers`.
"""

import argparse
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import document, ruler, table
from benchmarks.peers.bounds import noise_bytes
from benchmarks.peers.codecs import CODECS
from benchmarks.peers.codecs.zipnn import REQUIREMENTS
from benchmarks.peers.corpus import RECIPES, assemble
from benchmarks.peers.entropy import codes_entropy
from benchmarks.peers.folders import corpus_folder, default_cache, environments_folder
from benchmarks.peers.measuring import Result, idle_peak_bytes
from benchmarks.peers.pairs import Pair, PairClass, read_pairs
from benchmarks.peers.reach import Row, generic_verdicts, judge
from benchmarks.peers.results import kept_result, result_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command; 2 where nothing fits the filters."""
    args = _parser().parse_args((sys.argv[1:] if arguments is None else arguments) or ["table"])
    commands = {"corpus": _corpus, "environments": _environments, "table": _compare}
    return commands[args.command](args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where everything is kept (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    corpus = commands.add_parser("corpus", help="assemble the pairs")
    compare = commands.add_parser("table", help="measure and print the comparison")
    commands.add_parser("environments", help="set up the peers that need an environment of their own")
    for command in (corpus, compare):
        command.add_argument(
            "--class", dest="classes", action="append", choices=list(PairClass), help="only this class"
        )
        command.add_argument("--pair", dest="pairs", action="append", metavar="NAME", help="only this pair")
        command.add_argument("--again", action="store_true", help="do again what is there already")
    compare.add_argument("--peer", dest="codecs", action="append", choices=list(CODECS), help="only this codec")
    compare.add_argument("--kept", action="store_true", help="measure nothing, show what is known")
    compare.add_argument("--timeout", type=float, default=1800.0, metavar="S", help="per step (%(default)g)")
    compare.add_argument("--json", action="store_true", help="print every figure as JSON")
    compare.add_argument("--short", action="store_true", help="print the summary of the README")
    compare.add_argument("--out", type=Path, metavar="FILE", help="write the full page here, print the verdicts")
    return parser


def _corpus(args: argparse.Namespace) -> int:
    recipes = [recipe for recipe in RECIPES if _wanted(args, recipe.pair_class, recipe.name)]
    if not recipes:
        return _nothing()
    for pair in assemble(args.cache, recipes, again=args.again):
        print(
            f"{pair.pair_class}/{pair.name}: {pair.base_bytes:,} to {pair.new_bytes:,} bytes, {pair.how}",
            file=sys.stderr,
        )
    print(corpus_folder(args.cache))
    return 0


def _environments(args: argparse.Namespace) -> int:
    for name, requirements in (("zipnn", REQUIREMENTS), (ruler.ENVIRONMENT, ruler.requirements())):
        folder = environments_folder(args.cache) / name
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        failed = subprocess.run([*pip, *requirements], check=False).returncode
        if failed:
            return failed
    return 0


def _compare(args: argparse.Namespace) -> int:
    for _ in assemble(args.cache, [r for r in RECIPES if _wanted(args, r.pair_class, r.name)]):
        pass
    known = {(recipe.pair_class, recipe.name) for recipe in RECIPES}
    pairs = [
        pair
        for pair in read_pairs(corpus_folder(args.cache))
        if _wanted(args, pair.pair_class, pair.name) and (pair.pair_class, pair.name) in known
    ]
    if not pairs:
        return _nothing()
    rows = [_row(pair, args) for pair in pairs]
    idle_bytes = idle_peak_bytes()
    verdicts, generic = judge(rows, idle_bytes), generic_verdicts(rows)
    if args.json:
        print(document.as_json(rows, verdicts, generic, idle_bytes))
        return 0
    page = "\n".join(document.markdown(rows, verdicts, generic, cache=args.cache, idle_bytes=idle_bytes)) + "\n"
    if args.out:
        args.out.write_text(page, encoding="utf-8")
        page = "\n".join(table.reach_table(verdicts))
    elif args.short:
        page = "\n".join(table.summary_table(rows))
    print(page)
    return 0


def _row(pair: Pair, args: argparse.Namespace) -> Row:
    results: dict[str, Result] = {}
    for name in args.codecs or CODECS:
        if not args.kept:
            results[name] = result_of(CODECS[name], pair, cache=args.cache, timeout_s=args.timeout, again=args.again)
        elif kept := kept_result(CODECS[name], pair, cache=args.cache):
            results[name] = kept
    print(f"{pair.pair_class}/{pair.name}", file=sys.stderr)
    return Row(pair, results, codes_entropy(pair.codes) if pair.codes else None, noise_bytes(pair))


def _wanted(args: argparse.Namespace, pair_class: PairClass, name: str) -> bool:
    return (not args.classes or pair_class in args.classes) and (not args.pairs or name in args.pairs)


def _nothing() -> int:
    print("no pair fits these filters", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
