"""Run a Django management command of the server with its settings, e.g. `smallfleet manage migrate`."""

import argparse

from client.replace import become_django


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("command", help="e.g. migrate, check, createsuperuser, help")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the command")
    parser.epilog = None


def run(args: argparse.Namespace) -> int:
    """Become the management command."""
    become_django(args.command, *args.arguments)
