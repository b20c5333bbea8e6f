"""What is said before and after a simulation is said again when a busy server does not take it: that is no part of the simulation."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from agent import backoff
from agent.errors import ServerUnavailable

TRIES = 6

Answer = TypeVar("Answer")


def patiently(ask: Callable[[], Answer], *, sleep: Callable[[float], None] = time.sleep) -> Answer:
    """Ask until the server takes it, with the agent's own pauses in real time.

    Raises:
        ServerUnavailable: it never did.
        RequestRefused: it will not.
    """
    for failures in range(1, TRIES):
        try:
            return ask()
        except ServerUnavailable as error:
            sleep(backoff.after_failure(failures, error.retry_after_s, random.uniform))
    return ask()
