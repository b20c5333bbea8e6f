"""Accuracy against bytes and money: what each variant of a model line would cost to bring to today's fleet."""

import argparse

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
    if args.json:
        print_json(costs)
        return 0
    columns = ("version", "variant", "accuracy", "bytes", "money", "devices")
    print_table(columns, [[row.get(column) for column in columns] for row in costs["variants"]])
    return 0
