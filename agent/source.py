"""Where bytes come from: the server, or a bundle. Both put a verified artifact at `downloads/<sha256>`."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from agent.config import Download
from agent.connection import Counted
from agent.download import download
from agent.http import Client
from agent.layout import Layout
from agent.wire import Blob


class Allowance(Protocol):
    """What the device's owner allows to be fetched: `agent.gate.Gate` is one."""

    def grant(self, wanted_bytes: int) -> int:
        """How much of it the next request may bring.

        Raises:
            Paused: nothing, now.
        """

    def settle(self) -> None:
        """Note what the transfer cost indeed."""


class Source(Protocol):
    """Gives artifacts by their digests. `is_link` says whether its bytes cost what a link's bytes cost."""

    is_link: ClassVar[bool]

    def fetch(self, blob: Blob, *, attempt: str) -> None:
        """Put the artifact at `downloads/<sha256>`.

        Raises:
            Paused, ServerUnavailable, RequestRefused, TransferRejected, OSError: as `agent.download.download`.
        """

    def counted(self) -> Counted:
        """HTTP bytes so far, of everything."""


@dataclass(frozen=True, slots=True)
class ServerSource:
    """Artifacts over HTTP."""

    is_link: ClassVar[bool] = True

    client: Client
    layout: Layout
    limits: Download
    allowance: Allowance
    sleep: Callable[[float], None] = time.sleep

    def fetch(self, blob: Blob, *, attempt: str) -> None:
        try:
            download(
                self.client,
                self.layout,
                blob,
                attempt=attempt,
                rate_limit_bytes_per_s=self.limits.rate_limit_bytes_per_s,
                grant=self.allowance.grant,
                sleep=self.sleep,
            )
        finally:
            self.allowance.settle()

    def counted(self) -> Counted:
        return self.client.counted()
