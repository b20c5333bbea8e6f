"""Starting the real programs as child processes, and ending every one of them.

Used by `smallfleet demo`, by the flow tests and by the load benchmarks, so that all three run what a user runs: this package's
own command line. Every child leads a process group of its own, so that its children end with it.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from client.errors import ClientError

GRACE_S = 10.0


class ChildFailedError(ClientError):
    """A program that we started ended, or did not become ready; its log says why."""

    exit_code = 1


def smallfleet(*arguments: str) -> list[str]:
    """The command line of one of our sub-commands, run by this interpreter."""
    return [sys.executable, "-m", "client.cli", *arguments]


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether nobody listens on this TCP port of loopback at the moment."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still winding down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


class Children:
    """Child processes by name; leaving the context ends them all, last started first."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = logs
        # A database, a store or a token that the caller's shell is set up for has no business in here.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SMALLFLEET_")}
        self.environment = {**kept, **environment}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_all()

    def run(self, *command: str, timeout_s: float = 120.0, environment: Mapping[str, str] | None = None) -> str:
        """Run a command to its end and return its standard output.

        Raises:
            ChildFailedError: it ended with another exit code than 0.
        """
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**self.environment, **(environment or {})},
        )
        if done.returncode:
            raise ChildFailedError(
                f"{' '.join(command[-4:])} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout

    def start(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a program in the background; its output goes to `<logs>/<name>.log`."""
        with self.log(name).open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**self.environment, **(environment or {})},
            )
        self._running[name] = child
        return child

    def log(self, name: str) -> Path:
        """Where the output of a child goes."""
        return self.logs / f"{name}.log"

    def wait_until(self, name: str, ready: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Wait until `ready()`, as long as the child lives.

        Raises:
            ChildFailedError: the child ended, or the time did.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.require_alive()
            if time.monotonic() > deadline:
                raise ChildFailedError(f"{name} was not ready after {timeout_s:.0f} s:\n{tail(self.log(name))}")
            time.sleep(0.05)

    def end(self, name: str) -> int:
        """End one child and its group, politely first; its exit code."""
        return _end({name: self._running.pop(name)})[name]

    def end_all(self) -> dict[str, int]:
        """End every child; the exit codes by name."""
        running, self._running = dict(reversed(self._running.items())), {}
        return _end(running)

    def require_alive(self) -> None:
        """Look whether all children still run.

        Raises:
            ChildFailedError: one ended by itself; the message has the end of its log.
        """
        for name, child in self._running.items():
            code = child.poll()
            if code is not None:
                raise ChildFailedError(f"{name} ended with {code}:\n{tail(self.log(name))}")

    def alive(self) -> list[str]:
        """The names of the children that still run."""
        return [name for name, child in self._running.items() if child.poll() is None]


def _end(children: Mapping[str, subprocess.Popen[bytes]]) -> dict[str, int]:
    _signal(children.values(), signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    for child in children.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=max(0.0, deadline - time.monotonic()))
    # The leader may be gone and its own children not: the group is signalled either way.
    _signal(children.values(), signal.SIGKILL)
    return {name: child.wait() for name, child in children.items()}


def _signal(children: Iterable[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
