"""Accuracy against bytes and money: what it would cost to bring today's fleet to each published variant of a model line."""

import argparse
from typing import Any

from client.connection import add_connection_arguments, connect
from client.output import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model")
    parser.add_argument("--group", help="only devices of this group")
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line per variant."""
    with connect(args) as rest:
        costs = rest.get(f"models/{args.model}/costs", group=args.group)
        qualities = _evaluations(rest.get(f"models/{args.model}"))
    rows = [row | {"evaluations": qualities[row["version"], row["variant"]]} for row in costs["variants"]]
    if args.json:
        print_json(costs | {"variants": rows})
        return 0
    headers = ("version", "variant", "evaluations", "bytes", costs["currency"], "ways", "devices there")
    print_table(headers, [_line(row) for row in rows])
    if any(row["is_upper_bound"] for row in rows):
        print("\n<= a patch that is not built yet may make it cheaper")
    return 0


def _evaluations(model: dict[str, Any]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    return {
        (version["version"], variant["name"]): variant["evaluations"]
        for version in model["versions"]
        for variant in version["variants"]
    }


def _line(row: dict[str, Any]) -> list[object]:
    return [
        row["version"],
        row["variant"],
        ", ".join(f"{quality['metric']}={quality['value']:.4g}" for quality in row["evaluations"]),
        f"{'<= ' if row['is_upper_bound'] else ''}{row['bytes_total']:,}",
        row["money_total"],
        ", ".join(f"{way} x {count}" for way, count in row["devices_by_way"].items()),
        f"{row['devices_there']} of {row['devices']}",
    ]
