"""List link classes (what a byte costs a device), create one, or change one."""

import argparse
from typing import Any

from client.connection import add_connection_arguments, connect
from client.output import print_json, print_table

COLUMNS = ("name", "price_per_mb", "rate_limit_bytes_per_s", "metered")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    listing = actions.add_parser("list", help="list link classes")
    listing.set_defaults(act=_list)
    create = actions.add_parser("create", help="create a link class; the same again changes nothing")
    create.set_defaults(act=_create)
    change = actions.add_parser("change", help="change what is given")
    change.set_defaults(act=_change)
    for action in (create, change):
        action.add_argument("name", help="e.g. lte-m")
        action.add_argument("--price-per-mb", help="per 10^6 bytes, in the server's currency, e.g. 0.40")
        action.add_argument("--rate-limit-bytes-per-s", type=int)
        action.add_argument("--metered", action=argparse.BooleanOptionalAction)
    for action in (listing, create, change):
        add_connection_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _list(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        classes = list(rest.pages("link-classes"))
    if args.json:
        print_json(classes)
    else:
        print_table(COLUMNS, [[row[column] for column in COLUMNS] for row in classes])
    return 0


def _create(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        return _told(args, rest.post("link-classes", {"name": args.name, **_given(args)}, idempotent=True))


def _change(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        return _told(args, rest.patch(f"link-classes/{args.name}", _given(args)))


def _given(args: argparse.Namespace) -> dict[str, Any]:
    wished = {name: getattr(args, name) for name in COLUMNS[1:]}
    return {name: value for name, value in wished.items() if value is not None}


def _told(args: argparse.Namespace, row: dict[str, Any]) -> int:
    if args.json:
        print_json(row)
    else:
        print_table(COLUMNS, [[row[column] for column in COLUMNS]])
    return 0
