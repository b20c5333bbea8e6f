"""What the service manager is told: that the agent is ready, what it does, that it stops, and that it is not stuck.

The protocol is sd_notify(3): datagrams to the socket that `NOTIFY_SOCKET` names; without one, nothing here does anything.
Under systemd's watchdog a ping is due every `WATCHDOG_USEC`. A ping that only says that the process exists would hide an
agent that is stuck, so each wait is announced with its limit (`allow`): a timer of this process pings while the announced
time has not passed, and is silent from then on, so that systemd ends and restarts the agent. What is not announced may take
as long as `start` was told.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from types import FrameType

from agent.clock import pause

# Pings within one period of the watchdog; sd_watchdog_enabled(3) recommends two.
PINGS = 3
GRACE_S = 10.0


class Vigil:
    """The tie to one service manager, or to none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._period_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if self._address and watched else 0.0
        self._unspoken_s = 0.0
        self._until = 0.0

    def start(self, unspoken_s: float) -> None:
        """Say that the agent is ready, and ping from now on; `unspoken_s` is the limit of everything that announces none."""
        self._unspoken_s = unspoken_s
        self._until = time.monotonic() + unspoken_s
        self.tell("READY=1")
        if self._period_s:
            signal.signal(signal.SIGALRM, self._ping)
            signal.setitimer(signal.ITIMER_REAL, self._period_s / PINGS, self._period_s / PINGS)

    @contextlib.contextmanager
    def allow(self, seconds: float) -> Iterator[None]:
        """Announce that what happens in this block takes at most so long; its end is progress."""
        self._until = max(self._until, time.monotonic() + seconds + GRACE_S)
        try:
            yield
        finally:
            self._until = time.monotonic() + self._unspoken_s

    def sleep(self, seconds: float) -> None:
        """Rest, announced."""
        self.tell(f"STATUS=resting for {seconds:.0f} s")
        with self.allow(seconds):
            pause(seconds)
        self.tell("STATUS=at work")

    def tell(self, message: str) -> None:
        """Send one message. A manager that is gone is no reason to stop serving."""
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.connect(address)
            out.sendall(message.encode())

    def _ping(self, _number: int, _frame: FrameType | None) -> None:
        if time.monotonic() < self._until:
            self.tell("WATCHDOG=1")


vigil = Vigil(os.environ)
