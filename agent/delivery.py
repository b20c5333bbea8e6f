"""Sending what waits in the outbox, with pauses of its own.

A server that takes polls but no events is asked neither more often for that nor more rarely: a delivery that failed is
tried again alone, after a pause that doubles.
"""

import logging
from dataclasses import dataclass

from agent import backoff
from agent.clock import Clock, Instant
from agent.errors import AgentError, ServerUnavailable, WireInvalid
from agent.http import Client
from agent.keeping import Messages

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Delivery:
    """The outbox on its way to the server. `error` is why the last delivery failed; `None` when it did not."""

    outbox: Messages
    client: Client
    clock: Clock
    error: AgentError | None = None
    _failures: int = 0
    _failed_at: Instant | None = None
    _pause_s: float = 0.0

    def send(self) -> None:
        """Send what waits, unless a failure is too fresh; a failure that may pass is noted in `error`.

        Raises:
            RequestRefused: the server wants none of it for good.
            OSError: the disk refused.
        """
        if self.wait_s() > 0:
            return
        try:
            self.outbox.send(self.client)
        except (ServerUnavailable, WireInvalid) as error:
            self._fail(error)
        else:
            self.error, self._failures, self._failed_at = None, 0, None

    def wait_s(self) -> float:
        """Seconds until the next delivery may be tried."""
        if self._failed_at is None:
            return 0.0
        return max(0.0, self._pause_s - self.clock.now().since(self._failed_at))

    def _fail(self, error: ServerUnavailable | WireInvalid) -> None:
        self._failures += 1
        retry_after_s = error.retry_after_s if isinstance(error, ServerUnavailable) else None
        self.error, self._failed_at = error, self.clock.now()
        self._pause_s = backoff.after_failure(self._failures, retry_after_s, self.clock.uniform)
        log.warning(
            "delivery_failed", extra={"slug": error.slug, "why": str(error), "pause_s": round(self._pause_s, 1)}
        )
