"""A virtual device's disk: digests in place of files, state and messages in memory."""

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.http import Client
from agent.outbox import EVENTS_PER_REQUEST, REPORTS_PER_REQUEST
from agent.state import State


@dataclass(slots=True)
class Part:
    """A download under way: how much is here, and the digest of it so far."""

    received: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def take(self, piece: bytes) -> None:
        self.received += len(piece)
        self.digest.update(piece)


@dataclass(slots=True)
class Disk:
    """What a device holds: models in slots, contracts and sample sets, and downloads, whole or not; when `current` was replaced."""

    models: set[str] = field(default_factory=set)
    companions: set[str] = field(default_factory=set)
    downloads: set[str] = field(default_factory=set)
    parts: dict[str, Part] = field(default_factory=dict)
    switched_s: float = 0.0

    def received_bytes(self, sha256: str) -> int:
        part = self.parts.get(sha256)
        return 0 if part is None else part.received

    def collect(self, models: set[str], downloads: set[str]) -> None:
        """Keep these, and let go of every other model and download, as the agent's housekeeping does."""
        self.models &= models
        self.downloads &= downloads
        self.parts = {sha256: part for sha256, part in self.parts.items() if sha256 in downloads}


@dataclass(slots=True)
class Outbox:
    """Messages until the server answers for them, sent in the agent's batches; `tell` hears of every event."""

    tell: Callable[[Mapping[str, Any]], None]
    events: "deque[Mapping[str, Any]]" = field(default_factory=deque)
    reports: "deque[Mapping[str, Any]]" = field(default_factory=deque)
    made_reports: int = 0

    def put_event(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)
        self.tell(event)

    def put_report(self, report: Mapping[str, Any]) -> None:
        self.reports.append(report)
        self.made_reports += 1

    def send(self, client: Client) -> None:
        """Send what waits.

        Raises:
            ServerUnavailable, RequestRefused: what was not answered for stays.
        """
        _send(client, "events", self.events, EVENTS_PER_REQUEST)
        _send(client, "reports", self.reports, REPORTS_PER_REQUEST)

    def is_empty(self) -> bool:
        return not self.events and not self.reports


@dataclass(slots=True)
class Memory:
    """A device's state, where the agent has `agent.store.Store`."""

    outbox: Outbox
    state: State

    def commit(self, new: State, events: Sequence[Mapping[str, Any]] = ()) -> None:
        self.state = new
        for event in events:
            self.outbox.put_event(event)


def _send(client: Client, path: str, waiting: "deque[Mapping[str, Any]]", most: int) -> None:
    while waiting:
        batch = [waiting[index] for index in range(min(most, len(waiting)))]
        client.call("POST", path, document={path: batch})
        for _message in batch:
            waiting.popleft()
