"""What a virtual device trusts: asked for and checked as by a real one, but kept in memory.

What several devices are given alike is checked once for all of them.
It trusts the first root that its server has, since the fleet is made by whoever runs that server. Times are judged by the real clock:
the server signs by that one, and its metadata would be over after a virtual week.
"""

import functools
import hashlib
import json
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from agent.config import Config
from agent.errors import RequestRefused, Unauthenticated
from agent.http import Client
from agent.record import Record
from agent.trust import news
from agent.trust.checking import Checked, check
from agent.trust.rules import Denied, Trusted
from agent.trust.verified import Verified, Versions
from agent.wire import Entry, Wanted

KEPT_CHECKS = 64
_ONE_AT_A_TIME = threading.Lock()


class VirtualGuard:
    """The trust of one virtual device's line, as `agent.trust.guard.Guard` has that of a real device."""

    def __init__(self, config: Config, client: Client) -> None:
        self._config = config
        self._client = client
        self._files: Mapping[str, str] = {}
        self._says: Verified | None = None

    def hear(self, record: Record, entry: Entry | None) -> None:
        """Ask for newer metadata where that is due.

        Raises:
            ServerUnavailable, Unauthenticated: the link failed, or the device is not let in.
        """
        reason = news.reason_to_ask(entry, self._says, record.clock.now())
        if news.is_due(record.state.news, reason, self._says, datetime.now(UTC)):
            record.commit(replace(record.state, news=replace(reason, denied=self._ask(record.model))))

    def view(self, record: Record) -> Trusted:
        """What is known now."""
        current, asked = record.state.current, record.state.news
        served = None if current is None or self._says is None else self._says.find(Wanted(current))
        return Trusted(
            verified=self._says,
            at=datetime.now(UTC),
            device_class=self._config.device_class,
            max_artifact_bytes=self._config.download.max_artifact_bytes,
            installed=None if served is None else served.version,
            news=None if asked is None else asked.denied,
        )

    def _ask(self, model: str) -> Denied | None:
        try:
            content = news.fetch(self._client, model, Versions() if self._says is None else self._says.versions)
        except Unauthenticated:
            raise
        except RequestRefused:
            return None
        if content is None:
            return None
        with _ONE_AT_A_TIME:  # or every thread would begin with a check of its own
            checked = _checked(model, tuple(sorted(self._files.items())), content)
        if checked.says is not None:
            self._files, self._says = checked.files, checked.says
        return checked.denied


@functools.lru_cache(maxsize=KEPT_CHECKS)
def _checked(model: str, files: tuple[tuple[str, str], ...], content: bytes) -> Checked:
    """The result of the agent's own checking child."""
    roots = json.loads(content).get("roots") or [""]
    pin = hashlib.sha256(str(roots[0]).encode()).hexdigest()
    with tempfile.TemporaryDirectory(prefix="smallfleet-simulate-") as folder:
        work = Path(folder) / "check"
        return check(work, model, dict(files), pin=pin, news=content, at=datetime.now(UTC), nice=0)
