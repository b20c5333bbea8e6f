"""List, create and delete groups: saved queries over the attributes of devices, e.g. `site=berlin,board!=pi4`."""

import argparse

from client.connection import add_connection_arguments, connect
from client.output import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    listing = actions.add_parser("list", help="list groups")
    listing.set_defaults(act=_list)
    create = actions.add_parser("create", help="create a group; the same again changes nothing")
    create.add_argument("name")
    create.add_argument("query", help="terms that must all hold: site=berlin, board!=pi4, camera (has it), !camera")
    create.set_defaults(act=_create)
    delete = actions.add_parser("delete", help="delete a group")
    delete.add_argument("name")
    delete.set_defaults(act=_delete)
    for action in (listing, create, delete):
        add_connection_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _list(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        groups = list(rest.pages("groups"))
    if args.json:
        print_json(groups)
    else:
        print_table(("name", "query"), [[group["name"], group["query"]] for group in groups])
    return 0


def _create(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        group = rest.post("groups", {"name": args.name, "query": args.query}, idempotent=True)
    if args.json:
        print_json(group)
    else:
        print(f"group {group['name']}: {group['query']}")
    return 0


def _delete(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        rest.delete(f"groups/{args.name}")
    if args.json:
        print_json({"name": args.name, "deleted": True})
    else:
        print(f"deleted: {args.name}")
    return 0
