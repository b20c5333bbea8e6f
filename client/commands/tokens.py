"""List, create and revoke your API tokens. A new token is shown once."""

import argparse

from client.connection import add_connection_arguments, connect
from client.options import end_in_days
from client.output import print_json, print_table

SCOPES = ("read", "publish", "operate", "administer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(title="actions", required=True)
    listing = actions.add_parser("list", help="list your tokens")
    listing.set_defaults(act=_list)
    create = actions.add_parser("create", help="create a token")
    create.add_argument("name", help="what it is for, e.g. 'ci of keyword-spotter'")
    create.add_argument("--scope", action="append", choices=SCOPES, required=True, help="may be given several times")
    create.add_argument("--expires-in-d", type=end_in_days, metavar="D", help="days until it ends; never, if not given")
    create.set_defaults(act=_create)
    revoke = actions.add_parser("revoke", help="end a token at once")
    revoke.add_argument("id")
    revoke.set_defaults(act=_revoke)
    for action in (listing, create, revoke):
        add_connection_arguments(action)


def run(args: argparse.Namespace) -> int:
    """Carry out the chosen action."""
    return int(args.act(args))


def _list(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        tokens = list(rest.pages("tokens"))
    if args.json:
        print_json(tokens)
        return 0
    rows = [
        [token["id"], token["name"], " ".join(token["scopes"]), token["expires_at"], token["revoked_at"]]
        for token in tokens
    ]
    print_table(("id", "name", "scopes", "expires_at", "revoked_at"), rows)
    return 0


def _create(args: argparse.Namespace) -> int:
    body = {"name": args.name, "scopes": args.scope}
    if args.expires_in_d is not None:
        body["expires_at"] = args.expires_in_d.isoformat()
    with connect(args) as rest:
        created = rest.post("tokens", body)
    if args.json:
        print_json(created)
    else:
        print(created["token"])
    return 0


def _revoke(args: argparse.Namespace) -> int:
    with connect(args) as rest:
        rest.delete(f"tokens/{args.id}")
    if args.json:
        print_json({"id": args.id, "revoked": True})
    else:
        print(f"revoked: {args.id}")
    return 0
