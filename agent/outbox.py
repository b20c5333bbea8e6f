"""Events and reports on disk until the server has them: one file each, written before it is sent.

A file goes when the server has answered for it, also when it refused it: a refused message will never be accepted.
Sending twice is harmless, since every message carries an id that this agent made.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent import disk, wire
from agent.errors import RequestRefused, WireInvalid
from agent.http import Client
from agent.ids import new_id, parse_id

EVENTS_PER_REQUEST = 100
REPORTS_PER_REQUEST = 20
# A device that has been offline for longer forgets its oldest messages of a kind first. Bytes are those of blocks on disk.
MAX_EVENTS = 2000
MAX_REPORTS = 200
MAX_KIND_BYTES = 8 << 20
BLOCK_BYTES = 4096
# The statuses that say "this message", not "this device" or "this moment".
MESSAGE_REFUSALS = frozenset({400, 413, 422})

log = logging.getLogger(__name__)


class Outbox:
    """The messages waiting in one directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put_event(self, event: Mapping[str, Any]) -> None:
        """Keep an event; the same attempt and number are the same event."""
        attempt = parse_id(event["attempt"])
        self._put(f"event-{attempt}-{int(event['seq']):06d}.json", event, most=MAX_EVENTS)

    def put_report(self, report: Mapping[str, Any]) -> None:
        """Keep a benchmark report in its wire form."""
        self._put(f"report-{new_id()}.json", report, most=MAX_REPORTS)

    def counts(self) -> dict[str, int]:
        """How many of each wait."""
        return {"events": len(self._waiting("event")), "reports": len(self._waiting("report"))}

    def send(self, client: Client) -> None:
        """Send what waits.

        Raises:
            ServerUnavailable, RequestRefused: what was not answered for stays.
        """
        self._send_kind(client, "event", "events", EVENTS_PER_REQUEST)
        self._send_kind(client, "report", "reports", REPORTS_PER_REQUEST)

    def _waiting(self, kind: str) -> list[Path]:
        return sorted(self._folder.glob(f"{kind}-*.json"))

    def _put(self, name: str, message: Mapping[str, Any], *, most: int) -> None:
        kind, content = name.partition("-")[0], json.dumps(message, separators=(",", ":")).encode()
        stats = {path: path.stat() for path in self._waiting(kind)}
        used_bytes = sum(_on_disk(stat.st_size) for stat in stats.values())
        for oldest in sorted(stats, key=lambda path: stats[path].st_mtime_ns):
            if len(stats) < most and used_bytes + _on_disk(len(content)) <= MAX_KIND_BYTES:
                break
            log.warning("outbox_full", extra={"kind": kind, "dropped": oldest.name})
            disk.remove_file(oldest)
            used_bytes -= _on_disk(stats.pop(oldest).st_size)
        disk.replace_file(self._folder / name, content)

    def _send_kind(self, client: Client, kind: str, path: str, per_request: int) -> None:
        waiting = [(file, message) for file in self._waiting(kind) for message in self._read(file)]
        for start in range(0, len(waiting), per_request):
            batch = waiting[start : start + per_request]
            try:
                self._send_batch(client, path, batch)
            except RequestRefused as error:
                if error.status not in MESSAGE_REFUSALS:
                    raise
                self._send_singly(client, path, batch)

    def _send_singly(self, client: Client, path: str, batch: list[tuple[Path, Any]]) -> None:
        """The server refused a whole batch: find out which messages it means, and drop those."""
        for file, message in batch:
            try:
                self._send_batch(client, path, [(file, message)])
            except RequestRefused as error:
                if error.status not in MESSAGE_REFUSALS:
                    raise
                log.warning("message_refused", extra={"message_file": file.name, "why": str(error)})
                disk.remove_file(file)

    def _send_batch(self, client: Client, path: str, batch: list[tuple[Path, Any]]) -> None:
        answer = client.call("POST", path, document={path: [message for _file, message in batch]}).json()
        refused = answer.get("refused") if isinstance(answer, dict) else None
        for one in refused if isinstance(refused, list) else []:
            log.warning("message_refused", extra={"why": repr(one)[:300]})
        for file, _message in batch:
            disk.remove_file(file)

    def _read(self, file: Path) -> Iterator[Any]:
        """The message of one file; a damaged one is dropped."""
        try:
            yield wire.parse_json(file.read_bytes(), file.name)
        except WireInvalid as error:
            log.warning("message_damaged", extra={"message_file": file.name, "why": str(error)})
            disk.remove_file(file)


def _on_disk(size_bytes: int) -> int:
    """What a file of this size takes in whole blocks."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES
