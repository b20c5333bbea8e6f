"""What knowing the device costs a poll: `python -m benchmarks.load.poll_cost`.

One real gunicorn with one worker and the SQLite file of a fleet, and two addresses in it for the same idle poll, which is answered with 304: the
real one, with the device's credential and its rate limit, and one of the benchmark's own URL configuration (`benchmarks.load.open_polls`), where the
device says its id and is believed, and nobody counts. Both load the device's row, for the answer is made of it. Clients in processes of their own
ask as fast as they are answered, in short turns, one address after the other, so that a slow moment of the machine meets both. The server's worker is
one process that is never idle meanwhile, so its CPU time per poll is what bounds the rate, and, unlike the rate, it is the same on a machine that has
other work too: the goal is held by that, the rates of the clock stand beside it.

Written to the database during the polls: nothing, which `tests/fleet/test_poll.py` holds; here it is watched from outside, as bytes of the file.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil

from benchmarks.load.goals import Figure, as_table
from client.processes import free_port

GOAL_COST_PERCENT = 15.0
DEVICES = 200
CLIENTS = 2
TURNS, TURN_S = 40, 0.5
START_TIMEOUT_S = 60.0
FILL = f"""
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
import json
from access.actors import SYSTEM
from fleet.devices.enrollment import create_enrollment_token, enroll_device
from registry.models import ModelLine
ModelLine.objects.create(name="digits")
secret = create_enrollment_token(actor=SYSTEM, name="load", uses={DEVICES})[1]
enrolled = [enroll_device(token=secret, name=f"device-{{number}}") for number in range({DEVICES})]
print(json.dumps([[str(device.pk), credential] for device, credential in enrolled]))
"""
SAYING = {
    "agent_version": "1",
    "patch_formats": [1],
    "installations": [{"model": "digits", "current": None, "previous": None}],
}


@dataclass(frozen=True, slots=True)
class Asking:
    """One client's share of a turn."""

    port: int
    path: str
    headers: tuple[tuple[str, str], ...]
    seconds: float


def ask(asking: Asking) -> int:
    """Poll as one device for so long; how many polls that were.

    Raises:
        RuntimeError: a poll was answered with something else than 304.
    """
    connection = HTTPConnection("127.0.0.1", asking.port, timeout=30)
    headers, polls = dict(asking.headers), 0
    started = time.perf_counter()
    while time.perf_counter() - started < asking.seconds:
        connection.request("GET", asking.path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 304:
            raise RuntimeError(f"{asking.path} was answered with {answer.status}")
        polls += 1
    connection.close()
    return polls


def say(port: int, credential: str) -> str:
    """Tell the server what the device has; the ETag of its answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/poll", json.dumps(SAYING), headers)
    answer = connection.getresponse()
    answer.read()
    etag = answer.headers["ETag"]
    connection.close()
    return etag


def environment_in(home: Path) -> dict[str, str]:
    """A server's settings, with limits that count every poll and refuse none of these."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "benchmarks.load.open_polls.settings",
        "SMALLFLEET_DEBUG": "0",
        "SMALLFLEET_SECRET_KEY": "only-for-this-benchmark-" + "x" * 40,
        "SMALLFLEET_HOME": str(home),
        "SMALLFLEET_WEB_WORKERS": "1",
        "SMALLFLEET_RATE_POLL": "9999999/minute",
        "SMALLFLEET_LAST_SEEN_FLUSH_S": "86400",
        "SMALLFLEET_LOG_LEVEL": "ERROR",
    }


def wait_for(port: int) -> None:
    """Return when the server listens.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/login/")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the server did not start")


def measure(home: Path, *, turns: int) -> list[Figure]:
    """Every figure, from one server."""
    environment = environment_in(home)
    filled = subprocess.run([sys.executable, "-c", FILL], env=environment, capture_output=True, text=True, check=True)
    devices = json.loads(filled.stdout.splitlines()[-1])[:CLIENTS]
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:fleet.gunicorn_conf", "-b", f"127.0.0.1:{port}"]
    with subprocess.Popen([*command, "fleet.wsgi:application"], env=environment) as server:
        try:
            wait_for(port)
            etags = [say(port, credential) for _pk, credential in devices]
            known = [
                Asking(port, "/api/v1/poll", (("Authorization", f"Bearer {secret}"), ("If-None-Match", etag)), TURN_S)
                for (_pk, secret), etag in zip(devices, etags, strict=True)
            ]
            believed = [
                Asking(
                    port, f"/open/poll/{pk}", (("Authorization", f"Bearer {secret}"), ("If-None-Match", etag)), TURN_S
                )
                for (pk, secret), etag in zip(devices, etags, strict=True)
            ]
            return _figures(home, psutil.Process(server.pid), known, believed, turns=turns)
        finally:
            server.terminate()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn came to: by the clock, and by the server's CPU time."""

    polls_per_s: float
    cpu_ms_per_poll: float


def take_turn(pool: ProcessPoolExecutor, server: psutil.Process, asking: list[Asking]) -> Turn:
    """All clients at once, for one turn."""
    started, cpu_before = time.perf_counter(), cpu_s(server)
    polls = sum(pool.map(ask, asking))
    return Turn(polls / (time.perf_counter() - started), 1000 * (cpu_s(server) - cpu_before) / polls)


def cpu_s(server: psutil.Process) -> float:
    """CPU time of the server's processes so far."""
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _figures(
    home: Path, server: psutil.Process, known: list[Asking], believed: list[Asking], *, turns: int
) -> list[Figure]:
    taken: dict[str, list[Turn]] = {"known": [], "believed": []}
    asked = {"known": known, "believed": believed}
    with ProcessPoolExecutor(CLIENTS) as pool:
        for asking in asked.values():  # warm up
            take_turn(pool, server, asking)
        before = _database_bytes(home)
        for turn in range(turns):
            # Whoever begins changes from turn to turn.
            for name in ("known", "believed") if turn % 2 else ("believed", "known"):
                taken[name].append(take_turn(pool, server, asked[name]))
        written = _database_bytes(home) - before
    pairs = list(zip(taken["known"], taken["believed"], strict=True))
    kept = [one.cpu_ms_per_poll / other.cpu_ms_per_poll for other, one in pairs]
    error = statistics.stdev(kept) / math.sqrt(len(kept)) if len(kept) > 1 else math.nan
    return [
        Figure("idle poll, device known and limited: server CPU", _middle(taken["known"], "cpu_ms_per_poll"), "ms"),
        Figure("  device believed and unlimited: server CPU", _middle(taken["believed"], "cpu_ms_per_poll"), "ms"),
        Figure(f"lost rate, median of {turns} turns", 100 * (1 - statistics.median(kept)), "%", GOAL_COST_PERCENT),
        Figure("  its standard error", 100 * error, "%"),
        Figure("by the clock, known and limited", _middle(taken["known"], "polls_per_s"), "polls/s"),
        Figure("  believed and unlimited", _middle(taken["believed"], "polls_per_s"), "polls/s"),
        Figure("database file and its log grew by", written, "B", 0),
    ]


def _middle(turns: list[Turn], what: str) -> float:
    return float(statistics.median(getattr(turn, what) for turn in turns))


def _database_bytes(home: Path) -> int:
    """Of the SQLite file and its write-ahead log, where every write ends up."""
    return sum(file.stat().st_size for file in home.glob("smallfleet.sqlite3*") if not file.name.endswith("-shm"))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=TURNS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smallfleet-polls-") as home:
        print(as_table(measure(Path(home), turns=args.turns)))


if __name__ == "__main__":
    main()
