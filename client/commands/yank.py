"""Withdraw a published version: no rollout may target it any more, devices that run it keep it."""

import argparse

from client.connection import add_connection_arguments, connect
from client.output import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model")
    parser.add_argument("version")
    parser.add_argument("--reason", required=True, help="why, for those who ask later")
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Yank and say so."""
    with connect(args) as rest:
        version = rest.post(
            f"models/{args.model}/versions/{args.version}/yank", {"reason": args.reason}, idempotent=True
        )
    if args.json:
        print_json(version)
    else:
        print(f"yanked: {args.model} {args.version}")
    return 0
