"""List model lines, or show one: its versions, and of each version the variants with size and evaluations."""

import argparse
from collections.abc import Iterator
from typing import Any

from client.connection import add_connection_arguments, connect
from client.output import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    listing = actions.add_parser("list", help="list model lines")
    listing.set_defaults(act=_list)
    show = actions.add_parser("show", help="show one model line")
    show.add_argument("model")
    show.set_defaults(act=_show)
    for action in (listing, show):
        add_connection_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _list(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        models = list(rest.pages("models"))
    if args.json:
        print_json(models)
    else:
        columns = ("name", "title", "latest_version", "version_count")
        print_table(columns, [[model[column] for column in columns] for model in models])
    return 0


def _show(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        model = rest.get(f"models/{args.model}")
    if args.json:
        print_json(model)
    else:
        print_table(("version", "state", "variant", "size_bytes", "sha256", "evaluations"), _variants(model))
    return 0


def _variants(model: dict[str, Any]) -> Iterator[list[object]]:
    for version in model["versions"]:
        for variant in version["variants"]:
            qualities = [
                f"{row['metric']}={row['value']:.4g} (n={row['sample_count']})" for row in variant["evaluations"]
            ]
            yield [
                version["version"],
                version["state"],
                variant["name"],
                variant["size_bytes"],
                variant["sha256"][:12],
                ", ".join(qualities),
            ]
