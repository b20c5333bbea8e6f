"""Withdraw a published version: sign the list of live variants without it, then say so to the server.

No device installs it any more, whatever the server says; devices that run it keep it. It needs the publisher's key. Somebody without it
pauses or aborts rollouts instead.
"""

import argparse

from client.connection import add_connection_arguments, connect
from client.output import print_json
from client.rest import RestClient
from client.signing import add_signing_arguments, line_of, signing_of
from client.trust.documents import SignedTargets
from client.trust.live import without_version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model")
    parser.add_argument("version")
    parser.add_argument("--reason", required=True, help="why, for those who ask later")
    add_signing_arguments(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Yank and say so."""
    with connect(args) as rest:
        signed = _withdraw(args, rest)
        version = rest.post(
            f"models/{args.model}/versions/{args.version}/yank", {"reason": args.reason}, idempotent=True
        )
    if args.json:
        print_json(version)
    else:
        by = f", list {signed.version} is signed without it" if signed else ""
        print(f"yanked: {args.model} {args.version}{by}")
    return 0


def _withdraw(args: argparse.Namespace, rest: RestClient) -> SignedTargets | None:
    """Sign the list without the version; None where it is in none. Whether it is, the checked list says, not the server."""
    line = line_of(args, rest, args.model)
    if not line.folder.roots() and rest.find(f"models/{args.model}/metadata") is None:
        return None  # without trust nothing of the line was ever live
    targets = line.targets_of(line.shown())
    if targets is None or without_version(targets.targets, args.version) == dict(targets.targets):
        return None
    return signing_of(args, line).withdraw(args.version)
