"""List devices, show one with what it holds and where it should be, let those that wait in or not, or end what one proves itself with."""

import argparse
import contextlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from client.connection import add_connection_arguments, connect
from client.errors import ConfigError
from client.output import print_json, print_table
from client.rest import RestClient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    listing = actions.add_parser("list", help="list devices")
    listing.add_argument("--waiting-for", metavar="RULE", help="only those that this rule of their own keeps waiting")
    listing.add_argument("--pending", action="store_true", help="only those that wait for approval")
    listing.set_defaults(act=_list)
    show = actions.add_parser("show", help="show one device")
    show.set_defaults(act=_show)
    approve = actions.add_parser("approve", help="let devices in that wait for it")
    approve.set_defaults(act=_decide, verb="approve", done="approved")
    reject = actions.add_parser("reject", help="forget devices that wait for approval")
    reject.set_defaults(act=_decide, verb="reject", done="rejected")
    for action in (approve, reject):
        action.add_argument(
            "devices", nargs="+", metavar="device", help="id of a device, or its name if no other has it"
        )
    rotate = actions.add_parser("rotate", help="have a device make itself a new credential at its next poll")
    rotate.set_defaults(act=_change, verb="rotate", done="asked for a new credential")
    revoke = actions.add_parser("revoke", help="end a device's credential at once")
    revoke.set_defaults(act=_change, verb="revoke", done="revoked")
    for action in (show, rotate, revoke):
        action.add_argument("device", help="id of the device, or its name if no other has it")
    for action in (listing, show, approve, reject, rotate, revoke):
        add_connection_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _list(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        wanted = {"waiting_for": args.waiting_for} if args.waiting_for else {}
        if args.pending:
            wanted["pending"] = "yes"
        devices = list(rest.pages("devices", **wanted))
    if args.json:
        print_json(devices)
    else:
        columns = ("id", "name", "device_class", "link_class", "last_seen_at")
        print_table(columns, [[device[column] for column in columns] for device in devices])
    return 0


def _show(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        device = rest.get(f"devices/{_id_of(rest, args.device)}")
    if args.json:
        print_json(device)
        return 0
    for key, value in device.items():
        if not isinstance(value, list):
            print(f"{key:20} {'-' if value in (None, '', {}) else value}")
    columns = ("model", "target", "current", "previous")
    print()
    rows = [[*(row[column] for column in columns), _waiting(row)] for row in device["installations"]]
    print_table((*columns, "waits for"), rows)
    return 0


def _waiting(installation: Mapping[str, Any]) -> str | None:
    """The local rule that says no, with its words."""
    refused = installation["refused"]
    return f"{refused['rule']}: {refused['detail']}" if refused else None


def _id_of(rest: RestClient, device: str) -> str:
    """The id of a device that is given by its id or by its name."""
    with contextlib.suppress(ValueError):
        return str(UUID(device))
    named = [row["id"] for row in rest.pages("devices", name=device)]
    if not named:
        raise ConfigError(f"there is no device {device!r}; `smallfleet devices list` shows them")
    if len(named) > 1:
        raise ConfigError(f"{len(named)} devices have the name {device!r}; give the id of one: {', '.join(named[:5])}")
    return str(named[0])


def _decide(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        devices = [_id_of(rest, device) for device in args.devices]
        decided = rest.post(f"devices/{args.verb}", {"devices": devices})
    if args.json:
        print_json(decided)
    else:
        print(f"{args.done}: {decided['decided']} of {len(devices)}" + _why_fewer(decided["decided"], len(devices)))
    return 0


def _why_fewer(decided: int, named: int) -> str:
    return "" if decided == named else "; the others did not wait for approval"


def _change(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        device = rest.post(f"devices/{_id_of(rest, args.device)}/{args.verb}", idempotent=True)
    if args.json:
        print_json(device)
    else:
        print(f"{args.done}: {device['name']} ({device['id']})")
    return 0
