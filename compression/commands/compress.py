"""Make smaller variants of a model by a recipe, measure each on held-out samples, and publish them if asked.

A recipe is a TOML file, or the name of one that comes with the package. Each variant is one ordinary ONNX file in --out, beside
the record of how it was made (NAME.recipe.json): recipe, seed, versions, digests. The same recipe on the same machine gives the same bytes.

Ends with 1, and publishes nothing, when a variant lost more accuracy than its recipe allows; the files are written all the same.
"""

import argparse
import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.connection import add_connection_arguments, connect
from client.errors import ConfigError
from client.files import require_file
from client.output import print_json, print_table
from client.progress import terminal_progress as terminal_transfers
from client.publishing import Published, publish
from client.release import add_release_arguments, publication_of, require_release
from client.signing import add_signing_arguments, line_of, signing_of
from compression.progress import terminal_progress
from compression.recipes import load_recipe, ready_recipes
from compression.recipes.reference import key_rows, step_summary
from compression.steps import STEPS

if TYPE_CHECKING:
    from compression.compressing import Compressed, Made


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, nargs="?", metavar="MODEL.onnx", help="one self-contained ONNX file")
    parser.add_argument("--list", action="store_true", help="list the ready recipes, and all steps with their keys")
    parser.add_argument("--recipe", metavar="FILE|NAME", help="a recipe, or the name of a ready one")
    parser.add_argument("--data", metavar="FILE.npz|NAME", help="labelled samples: arrays input:<name> and labels")
    parser.add_argument("--teacher", type=Path, metavar="FILE", help="a better model of the same task, to learn from")
    parser.add_argument("--held", type=Path, metavar="FILE", help="what devices hold now: deltas are made from it")
    parser.add_argument("--out", type=Path, default=Path("compressed"), metavar="DIR", help="folder (%(default)s)")
    parser.add_argument("--publish", action="store_true", help="publish the variants; see release, signing and server")
    add_release_arguments(parser, required=False)
    add_signing_arguments(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compress, or list what there is."""
    if args.list:
        _list(args)
        return 0
    missing = [
        name
        for name, value in (("MODEL.onnx", args.file), ("--recipe", args.recipe), ("--data", args.data))
        if not value
    ]
    if missing:
        raise ConfigError(f"missing: {', '.join(missing)} (or --list)")
    if args.publish:
        require_release(args)
    recipe = load_recipe(args.recipe)
    for file in (args.file, args.teacher, args.held):
        if file is not None:
            require_file(file)
    from compression.compressing import compress

    compressed = compress(
        args.file,
        recipe,
        args.data,
        args.out,
        teacher=args.teacher,
        held=args.held,
        progress=terminal_progress,
    )
    published = (
        [] if not args.publish or any(made.refused for made in compressed.variants) else _publish(args, compressed)
    )
    if args.json:
        print_json(_document(compressed, published))
    else:
        _print(compressed, published, has_held=args.held is not None)
    compressed.require_kept()
    return 0


def _publish(args: argparse.Namespace, compressed: "Compressed") -> list[Published]:
    with connect(args) as rest:
        signing = None if args.draft else signing_of(args, line_of(args, rest, args.model))
        return [
            publish(
                rest,
                publication_of(
                    args,
                    file=made.path,
                    variant=made.name,
                    evaluations=made.evaluations(),
                    own_tolerances=made.tolerances,
                    recipe=made.record,
                ),
                signing,
                terminal_transfers,
            )
            for made in compressed.variants
        ]


def _document(compressed: "Compressed", published: list[Published]) -> dict[str, Any]:
    variants = [_row(made) for made in compressed.variants]
    for row, one in zip(variants, published, strict=bool(published)):
        row["published"] = asdict(one)
    return {"source": _row(compressed.source), "variants": variants}


def _row(made: "Made") -> dict[str, Any]:
    return {
        "name": made.name,
        "file": str(made.path),
        "sha256": made.sha256,
        "size_bytes": made.size_bytes,
        "packed_bytes": made.packed_bytes,
        "delta_bytes": made.delta_bytes,
        "accuracy": made.found.accuracy,
        "accuracy_ci95": list(made.found.ci95),
        "sample_count": made.found.n,
        "dataset_sha256": made.found.dataset_sha256,
        "against_source": None if made.against_source is None else asdict(made.against_source),
        "refused": made.refused or None,
        "recipe": made.record,
        "published": None,
    }


def _print(compressed: "Compressed", published: list[Published], *, has_held: bool) -> None:
    headers = [
        "variant",
        "bytes",
        "packed",
        *(["delta"] if has_held else []),
        "accuracy",
        "95 %",
        "change",
        "agrees",
        "McNemar p",
    ]
    rows = []
    for made in (compressed.source, *compressed.variants):
        low, high = made.found.ci95
        paired = made.against_source
        rows.append(
            [
                made.name + (" (refused)" if made.refused else ""),
                made.size_bytes,
                made.packed_bytes,
                *([made.delta_bytes] if has_held else []),
                f"{made.found.accuracy:.2%}",
                f"{low:.2%} to {high:.2%}",
                f"{paired.difference:+.2%}" if paired else None,
                f"{paired.agreement:.2%}" if paired else None,
                f"{paired.p_value:.3f}" if paired else None,
            ]
        )
    print_table(headers, rows)
    print(
        f"measured on {compressed.source.found.n} samples that no step was given, {compressed.source.found.dataset_sha256[:12]}"
    )
    for made in compressed.variants:
        print(f"written: {made.path} ({made.sha256[:12]}) and {made.path.with_suffix('.recipe.json').name}")
    for made, one in zip(compressed.variants, published, strict=bool(published)):
        print(f"{'' if one.changed else 'already '}{one.state}: {made.name} ({one.sha256[:12]})")


def _list(args: argparse.Namespace) -> None:
    recipes = {name: load_recipe(name) for name in ready_recipes()}
    keys = {name: [dataclasses.asdict(row) for row in key_rows(kind)] for name, kind in STEPS.items()}
    if args.json:
        print_json(
            {
                "recipes": [{"name": name, "summary": recipe.summary} for name, recipe in recipes.items()],
                "steps": [{"name": name, "summary": step_summary(name), "keys": rows} for name, rows in keys.items()],
            }
        )
        return
    print("Ready recipes, for --recipe NAME:\n")
    print_table(["recipe", "what it makes"], [[name, recipe.summary] for name, recipe in recipes.items()])
    print("\nSteps, for `do` in a recipe:")
    for name, rows in keys.items():
        print(f"\n{name}: {step_summary(name)}")
        for row in rows:
            bounds = f", {row['allowed']}" if row["allowed"] else ""
            print(f"  {row['key']} = {row['default']}  ({row['type']}{bounds}) {row['meaning']}")
