"""Run a worker: it builds patches and does the periodic work. Any number of them may run.

It reads the same SMALLFLEET_* settings as the server.
"""

import argparse

from client.replace import become_django


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no option: settings come from the environment."""
    parser.epilog = None


def run(args: argparse.Namespace) -> int:
    """Become the worker."""
    become_django("run_worker")
