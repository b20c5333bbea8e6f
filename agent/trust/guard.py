"""What stands between the server's wishes and the decisions: keeps each line's trust in memory, asks for news, gives `decide` its view.

The daemon holds only what the metadata says; the files stay on disk until the next check. What learns and checks is imported when there is
something to learn: every few days.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from agent.clock import Clock, Instant
from agent.config import Config
from agent.errors import NotApproved, NotTrusted, RequestRefused, ServerUnavailable, Unauthenticated, WireInvalid
from agent.http import Client
from agent.layout import Layout
from agent.record import Record
from agent.trust import keeping, news
from agent.trust.rules import REFUSED, Denied, Trusted
from agent.trust.verified import Floor, Verified, Versions, not_before
from agent.wire import Entry

# A renewal that failed, and is not needed yet, is tried again after this.
RENEW_AGAIN_S = 3600.0

log = logging.getLogger(__name__)


class Guards(Protocol):
    """What the cycle needs of trust: `Guard` is one."""

    def hear(self, record: Record, entry: Entry | None) -> None:
        """Ask for newer metadata where that is due.

        Raises:
            ServerUnavailable: the link failed, and without an answer nothing can be decided.
            Unauthenticated: the device is not let in.
            OSError: the disk refused.
        """

    def view(self, record: Record, *, installed: str | None) -> Trusted:
        """What is known now of one line, in which a model of the version `installed` is in service."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What of the document on disk is kept in memory."""

    versions: Versions
    says: Verified | None
    floor: Floor | None


class Guard:
    """The trust of all lines of one device. `pins` are what came with its token and what is configured, by line in hex."""

    def __init__(self, config: Config, layout: Layout, client: Client, clock: Clock, pins: Mapping[str, str]) -> None:
        self._config = config
        self._pins = pins
        self._layout = layout
        self._client = client
        self._clock = clock
        self._known = {model: self._load(model) for model in config.models}
        self._failed: dict[str, Instant] = {}

    def establish(self) -> None:
        """Have a trusted root for every line, as far as the server can be asked; without a link a pin has to do until there is one.

        Raises:
            NotTrusted: a line has neither root nor pin, or the server has no root with the digest that is its pin.
            OSError: the disk refused.
        """
        unknown = [model for model in self._config.models if self._known[model] is None]
        if not unknown:
            return
        from agent.trust.learning import establish, no_root

        for model in unknown:
            if model not in self._pins:
                raise NotTrusted(no_root(model))
            try:
                establish(self._client, self._layout, model, self._pins[model])
            except (ServerUnavailable, Unauthenticated, NotApproved, WireInvalid) as error:
                log.warning("root_not_fetched", extra={"model": model, "why": str(error)})
            self._known[model] = self._load(model)

    def view(self, record: Record, *, installed: str | None) -> Trusted:
        known = self._known[record.model]
        asked = record.state.news
        return Trusted(
            verified=None if known is None else known.says,
            at=self._now(),
            device_class=self._config.device_class,
            max_artifact_bytes=self._config.download.max_artifact_bytes,
            installed=installed,
            news=None if asked is None else asked.denied,
        )

    def hear(self, record: Record, entry: Entry | None) -> None:
        known, moment = self._known[record.model], self._clock.now()
        says = None if known is None else known.says
        reason, at = news.reason_to_ask(entry, says, moment), self._now()
        if not news.is_due(record.state.news, reason, says, at) or self._has_just_failed(record.model, moment):
            return
        try:
            denied = self._ask(record.model, Versions() if known is None else known.versions)
        except ServerUnavailable as error:
            if reason.missing is not None:
                raise
            log.warning("news_failed", extra={"model": record.model, "why": str(error)})
            self._failed[record.model] = moment
            return
        record.commit(replace(record.state, news=replace(reason, denied=denied)))

    def take(self, record: Record, content: bytes) -> None:
        """Learn from news that a bundle brought.

        Raises:
            NotTrusted: they are refused. That they are older than what is known is no reason: then that stands.
            OSError: the disk refused.
        """
        denied, error = self._learn(record.model, content)
        if denied is not None and error != "older":
            raise NotTrusted(f"{record.model}: {denied.rule}: {denied.detail}")
        if record.state.news is not None:
            record.commit(replace(record.state, news=replace(record.state.news, denied=None)))

    def _ask(self, model: str, versions: Versions) -> Denied | None:
        """Fetch and learn; why what came was refused, if it was."""
        try:
            content = news.fetch(self._client, model, versions)
        except Unauthenticated:
            raise
        except RequestRefused as error:
            log.warning("news_refused", extra={"model": model, "why": str(error)})
            return None  # what is wanted and not known stays unsigned
        except WireInvalid as error:
            log.warning("metadata_refused", extra={"model": model, "why": str(error)})
            return Denied(REFUSED, str(error))
        if content is None:
            return None
        return self._learn(model, content)[0]

    def _learn(self, model: str, content: bytes) -> tuple[Denied | None, str | None]:
        from agent.trust.learning import learn, no_root

        kept = keeping.read(self._layout, model)
        pin = self._pins.get(model) if kept is None else kept.pin
        if pin is None:
            raise NotTrusted(no_root(model))
        nice = self._config.children.nice
        checked = learn(self._layout, model, kept, pin=pin, content=content, clock=self._clock, nice=nice)
        if checked.files:
            self._known[model] = self._load(model)
        return checked.denied, checked.error

    def _load(self, model: str) -> _Known | None:
        kept = keeping.read(self._layout, model)
        return None if kept is None else _Known(kept.versions, kept.says, kept.floor)

    def _now(self) -> datetime:
        """The time, which no line's verification lets go back."""
        wall, moment = self._clock.utc(), self._clock.now()
        floors = [known.floor for known in self._known.values() if known is not None]
        return max([wall, *(not_before(floor, wall, moment) for floor in floors)])

    def _has_just_failed(self, model: str, moment: Instant) -> bool:
        failed = self._failed.get(model)
        return failed is not None and moment.since(failed) < RENEW_AGAIN_S
