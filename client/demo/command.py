"""Run the whole flow on this machine: a server, a worker and three agents with different links; publish, roll out, measure.

Needs nothing but the extras `server` and `agent`: SQLite, a folder, loopback. The dashboard stays up until Ctrl-C, or with --exit
not at all. Every run starts clean: what the last one left in its folder is removed.
"""

import argparse
import contextlib
import fcntl
import shutil
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from client.demo import scenario
from client.errors import ConfigError
from client.interrupts import ignore_interrupts, signals_interrupt
from client.output import print_json, print_table
from client.processes import free_port, is_free
from client.stack import Stack

PREFERRED_PORT = 8000
# Everything of a run lies in this folder of --home, so that nothing else is ever removed.
RUN = "run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--exit", action="store_true", help="end after the table instead of leaving the dashboard up")
    parser.add_argument(
        "--port", type=int, help=f"of the server; {PREFERRED_PORT} or, if that is taken, any free one, if not given"
    )
    parser.add_argument("--home", type=Path, default=Path("var/demo"), metavar="DIR", help="folder (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print exactly one JSON document on standard output")


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 also when Ctrl-C ends it after the table."""
    port = _port(args.port)
    with signals_interrupt(), _clean_home(args.home) as home:
        say(f"starting server and worker in {home}")
        # A failure below ends every process on its way out, and so does Ctrl-C.
        with Stack(home, port=port) as stack:
            try:
                say(_login(stack))
                observed = scenario.run(stack, say)
                _show(observed, as_json=args.json)
                if not args.exit:
                    _stay(stack)
            finally:
                # From here on a second Ctrl-C must not stop us from ending the children.
                ignore_interrupts()
        say("every process has ended")
    return 0


def say(text: str) -> None:
    """Tell what happens, beside the result: on standard error."""
    print(text, file=sys.stderr, flush=True)


def _port(wanted: int | None) -> int:
    if wanted is not None:
        if not is_free(wanted):
            raise ConfigError(f"--port {wanted}: something listens there already")
        return wanted
    if is_free(PREFERRED_PORT):
        return PREFERRED_PORT
    say(f"port {PREFERRED_PORT} is taken: using a free one")
    return free_port()


@contextlib.contextmanager
def _clean_home(home: Path) -> Iterator[Path]:
    """An empty folder for this run, locked against a second demo in the same home."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another demo runs in {home}: end it, or choose another --home") from None
        folder = (home / RUN).resolve()
        if folder.exists():
            say(f"starting clean: removing what the last run left in {folder}")
            shutil.rmtree(folder)
        else:
            say("starting clean: this is the first run here")
        yield folder


def _show(observed: list[scenario.Observation], *, as_json: bool) -> None:
    if as_json:
        print_json(scenario.as_rows(observed))
        return
    cost = f"cost, {observed[0].currency}"
    headers = (
        "step",
        "device",
        "link",
        "way",
        "bytes on the wire",
        "of raw",
        cost,
        "p50 latency",
        "benchmark",
        "accuracy",
    )
    print_table(headers, [_line(one) for one in observed])
    print(
        "accuracy: as published. benchmark: one second each, so semivalid at best; invalid where other work took the CPU."
    )
    sys.stdout.flush()


def _line(one: scenario.Observation) -> list[object]:
    return [
        f"{one.version} {one.variant}",
        one.device,
        one.link_class,
        one.way,
        one.wire_bytes,
        f"{one.raw_share:.1%}",
        f"{Decimal(one.money):.2f}",
        f"{one.p50_latency_ns / 1e6:.3f} ms" if one.p50_latency_ns else None,
        one.validity,
        f"{one.accuracy:.2%}",
    ]


def _login(stack: Stack) -> str:
    return f"dashboard: {stack.url}   user: {stack.admin['username']}   password: {stack.admin['password']}"


def _stay(stack: Stack) -> None:
    """Leave everything up until Ctrl-C, as long as every process lives."""
    say(f"{_login(stack)}\nit stays up; Ctrl-C ends everything")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            stack.children.require_alive()
            time.sleep(1)
