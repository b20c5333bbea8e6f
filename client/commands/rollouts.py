"""Create, start, pause, resume and abort rollouts; list them, or show one with its ledger."""

import argparse
from typing import Any

from client.connection import add_connection_arguments, connect
from client.output import print_json, print_table

VERBS = {
    "start": "begin to tell devices of the target",
    "pause": "let devices start nothing new",
    "resume": "go on after a pause",
    "abort": "end it; devices keep what they run, unless --roll-back",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    create = actions.add_parser("create", help="plan to bring devices to one variant")
    create.add_argument("model")
    create.add_argument("version")
    create.add_argument("variant")
    create.add_argument("--group", help="only devices of this group; every device, if not given")
    create.add_argument(
        "--wait-for-delta-s", type=int, help="how long a device may wait for a delta that is being built"
    )
    create.add_argument("--start", action="store_true", help="start at once")
    create.set_defaults(act=_create)
    listing = actions.add_parser("list", help="list rollouts")
    listing.set_defaults(act=_list)
    show = actions.add_parser("show", help="show one rollout with its ledger")
    show.add_argument("id")
    show.set_defaults(act=_show)
    changes = [actions.add_parser(verb, help=text) for verb, text in VERBS.items()]
    for verb, change in zip(VERBS, changes, strict=True):
        change.add_argument("id")
        change.set_defaults(act=_change, verb=verb, roll_back=False)
    changes[-1].add_argument("--roll-back", action="store_true", help="bring devices back to what they ran before")
    for action in (create, listing, show, *changes):
        add_connection_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _create(args: argparse.Namespace) -> int:
    body = {"model": args.model, "version": args.version, "variant": args.variant, "start": args.start}
    if args.group:
        body["group"] = args.group
    if args.wait_for_delta_s is not None:
        body["wait_for_delta_s"] = args.wait_for_delta_s
    with connect(args) as rest:
        rollout = rest.post("rollouts", body)
    _print(args, rollout)
    return 0


def _change(args: argparse.Namespace) -> int:
    body = {"roll_back": True} if args.roll_back else None
    with connect(args) as rest:
        # Not repeated: a second start of a rollout that runs is refused, and would hide that the first one worked.
        rollout = rest.post(f"rollouts/{args.id}/{args.verb}", body)
    _print(args, rollout)
    return 0


def _list(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        rollouts = list(rest.pages("rollouts"))
    if args.json:
        print_json(rollouts)
    else:
        columns = ("id", "model", "version", "variant", "group", "state", "created_at")
        print_table(columns, [[rollout[column] for column in columns] for rollout in rollouts])
    return 0


def _show(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        rollout = rest.get(f"rollouts/{args.id}")
        ledger = rest.get(f"rollouts/{args.id}/ledger")
    if args.json:
        print_json(rollout | {"ledger": ledger})
        return 0
    waiting_for = rollout.pop("waiting_for")
    for key, value in rollout.items():
        print(f"{key:20} {'-' if value in (None, '') else value}")
    for wait in waiting_for:
        print(f"{'waiting':20} {wait['devices']} for {wait['rule']}, the first since {wait['since']}")
    print()
    columns = ("way", "devices", "requests", "agent_bytes", "server_bytes")
    print_table(columns, [[row[column] for column in columns] for row in ledger["by_way"]])
    print()
    headers = ("device", "link_class", "ways", "agent_bytes", ledger["currency"])
    rows = [
        [row["device"], row["link_class"], " ".join(row["ways"]), row["agent_bytes"], row["money"]]
        for row in ledger["by_device"]
    ]
    print_table(headers, rows)
    return 0


def _print(args: argparse.Namespace, rollout: dict[str, Any]) -> None:
    if args.json:
        print_json(rollout)
    else:
        print(f"{rollout['state']}: {rollout['id']}")
