"""Have an address told what happens: create, list, change and delete webhooks, try one, and see what came of its deliveries.

The secret with which deliveries are signed is shown once, when the webhook is created or its secret
rotated. docs/webhooks.md has the receiver's side.
"""

import argparse
from typing import Any

from client.connection import add_connection_arguments, connect
from client.output import print_json, print_table

KINDS = (
    "version_published",
    "version_yanked",
    "rollout_state_changed",
    "device_enrolled",
    "device_pending",
    "targets_expiring",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    add = actions.add_parser
    listing = add("list", help="list webhooks")
    listing.set_defaults(act=_list)
    create = add("create", help="create one, and print its secret, this once")
    create.add_argument("url", help="https://…")
    create.add_argument("--kind", action="append", choices=KINDS, required=True, help="may be given several times")
    create.set_defaults(act=_create)
    change = add("change", help="change what is given")
    change.add_argument("--url", help="https://…")
    change.add_argument(
        "--kind", action="append", choices=KINDS, help="instead of those it has; may be given several times"
    )
    change.add_argument("--enabled", action=argparse.BooleanOptionalAction, help="a disabled one is told nothing")
    change.set_defaults(act=_change)
    rotate = add("rotate", help="make a new secret, and print it, this once")
    rotate.add_argument(
        "--keep-previous-h",
        type=float,
        default=24.0,
        metavar="H",
        help="hours in which deliveries are signed with both; 24, if not given",
    )
    rotate.set_defaults(act=_rotate)
    ping = add("ping", help="send it an event that means nothing")
    ping.set_defaults(act=_ping)
    deliveries = add("deliveries", help="what was sent to it, and what came of it, newest first")
    deliveries.set_defaults(act=_deliveries)
    redeliver = add("redeliver", help="send one again")
    redeliver.set_defaults(act=_redeliver)
    delete = add("delete", help="tell it nothing any more")
    delete.set_defaults(act=_delete)
    for action in (change, rotate, ping, deliveries, redeliver, delete):
        action.add_argument("id", help="of the webhook")
    redeliver.add_argument("delivery", help="id of the delivery")
    for action in (listing, create, change, rotate, ping, deliveries, redeliver, delete):
        add_connection_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _list(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        webhooks = list(rest.pages("webhooks"))
    if args.json:
        print_json(webhooks)
        return 0
    rows = [[row["id"], row["url"], " ".join(row["kinds"]), "yes" if row["enabled"] else "no"] for row in webhooks]
    print_table(("id", "url", "kinds", "enabled"), rows)
    return 0


def _create(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        return _with_secret(args, rest.post("webhooks", {"url": args.url, "kinds": args.kind}))


def _change(args: argparse.Namespace) -> int:
    wished = {"url": args.url, "kinds": args.kind, "enabled": args.enabled}
    with connect(args) as rest:
        row = rest.patch(f"webhooks/{args.id}", {name: value for name, value in wished.items() if value is not None})
    return _told(
        args, row, f"{row['url']} is told of {', '.join(row['kinds']) if row['enabled'] else 'nothing: it is disabled'}"
    )


def _rotate(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        return _with_secret(args, rest.post(f"webhooks/{args.id}/rotate", {"keep_previous_h": args.keep_previous_h}))


def _with_secret(args: argparse.Namespace, row: dict[str, Any]) -> int:
    until = f"\nthe secret before is good until {row['previous_until']}" if row["previous_until"] else ""
    return _told(args, row, f"id: {row['id']}\nsecret: {row['secret']}{until}")


def _ping(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        row = rest.post(f"webhooks/{args.id}/ping")
    return _told(args, row, f"on its way: {row['id']}")


def _deliveries(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        rows = list(rest.pages(f"webhooks/{args.id}/deliveries"))
    if args.json:
        print_json(rows)
        return 0
    table = [[row["id"], row["created_at"], row["kind"], row["state"], row["attempts"], *_last(row)] for row in rows]
    print_table(("id", "created_at", "kind", "state", "tries", "status", "ms", "error"), table)
    return 0


def _last(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Status, latency and error of the newest try."""
    if not row["tries"]:
        return None, None, None
    last = row["tries"][0]
    return last["status"], round(last["latency_ns"] / 1e6), last["error"]


def _redeliver(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        row = rest.post(f"webhooks/{args.id}/deliveries/{args.delivery}/redeliver")
    return _told(args, row, f"on its way again: {row['id']}")


def _delete(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        rest.delete(f"webhooks/{args.id}")
    return _told(args, {"id": args.id, "deleted": True}, f"deleted: {args.id}")


def _told(args: argparse.Namespace, row: dict[str, Any], words: str) -> int:
    if args.json:
        print_json(row)
    else:
        print(words)
    return 0
