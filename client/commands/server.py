"""Run the web server (gunicorn). Settings come from SMALLFLEET_* variables; `smallfleet manage migrate` prepares its database.

Further options after `--` go to gunicorn as they are.
"""

import argparse

from client.replace import become

DEFAULT_BIND = "127.0.0.1:8000"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bind", default=DEFAULT_BIND, metavar="HOST:PORT", help="where to listen (%(default)s)")
    parser.add_argument("gunicorn", nargs="*", metavar="-- OPTION", help="options of gunicorn")
    parser.epilog = None


def run(args: argparse.Namespace) -> int:
    """Become gunicorn."""
    become(
        "gunicorn",
        ["fleet.wsgi:application", "--config", "python:fleet.gunicorn_conf", "--bind", args.bind, *args.gunicorn],
    )
