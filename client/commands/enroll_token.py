"""Create an enrollment token: with it, devices enroll until its uses or its time end. It is shown this once."""

import argparse

from client.connection import add_connection_arguments, connect
from client.options import attribute, end_in_hours
from client.output import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--name", required=True, help="what it is for, e.g. 'berlin gates'")
    parser.add_argument("--uses", type=int, default=1, help="how many devices may enroll with it (%(default)s)")
    parser.add_argument(
        "--expires-in-h", type=end_in_hours, default="24", metavar="H", help="hours until it ends (%(default)s)"
    )
    parser.add_argument("--link-class", help="link class that the devices get")
    parser.add_argument(
        "--attribute", type=attribute, action="append", default=[], metavar="KEY=VALUE", help="set on every device"
    )
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Create the token and print it."""
    body = {
        "name": args.name,
        "uses": args.uses,
        "expires_at": args.expires_in_h.isoformat(),
        "attributes": dict(args.attribute),
    }
    if args.link_class:
        body["link_class"] = args.link_class
    with connect(args) as rest:
        created = rest.post("enrollment-tokens", body)
    if args.json:
        print_json(created)
    else:
        # Alone on the line, so that a shell may take it as a value.
        print(created["token"])
    return 0
