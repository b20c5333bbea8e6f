"""List devices, show one with what it holds and where it should be, or revoke one."""

import argparse

from client.connection import add_connection_arguments, connect
from client.output import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    listing = actions.add_parser("list", help="list devices")
    listing.set_defaults(act=_list)
    show = actions.add_parser("show", help="show one device")
    show.add_argument("device", help="id of the device")
    show.set_defaults(act=_show)
    revoke = actions.add_parser("revoke", help="end a device's credential at once")
    revoke.add_argument("device", help="id of the device")
    revoke.set_defaults(act=_revoke)
    for action in (listing, show, revoke):
        add_connection_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _list(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        devices = list(rest.pages("devices"))
    if args.json:
        print_json(devices)
    else:
        columns = ("id", "name", "device_class", "link_class", "last_seen_at")
        print_table(columns, [[device[column] for column in columns] for device in devices])
    return 0


def _show(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        device = rest.get(f"devices/{args.device}")
    if args.json:
        print_json(device)
        return 0
    for key, value in device.items():
        if not isinstance(value, list):
            print(f"{key:20} {'-' if value in (None, '', {}) else value}")
    columns = ("model", "target", "current", "previous")
    print()
    print_table(columns, [[row[column] for column in columns] for row in device["installations"]])
    return 0


def _revoke(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        device = rest.post(f"devices/{args.device}/revoke", idempotent=True)
    if args.json:
        print_json(device)
    else:
        print(f"revoked: {device['name']} ({device['id']})")
    return 0
