"""What all devices together put on their links and asked of the server, added up while it happens, from any thread."""

import math
import threading
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.connection import Counted


class Kind(StrEnum):
    """What a request is for."""

    SAY = "POST poll"
    ASK = "GET poll"
    NEWS = "GET news"
    ARTIFACT = "GET artifact"
    EVENTS = "POST events"
    REPORTS = "POST reports"


class Cut(StrEnum):
    """What the link did to an exchange."""

    OUT_OF_REACH = "out of reach"  # no connection: the device was offline
    NO_CONNECTION = "no connection"  # the link lost it before the server heard anything
    ANSWER_LOST = "answer lost"  # the server did as asked, and the device never heard
    CUT_SHORT = "cut short"  # a body that ended early


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer. `spent` is HTTP as the device counted it, `answer_s` the server's real time."""

    kind: Kind
    link: str
    at_s: float
    spent: Counted
    link_bytes: int
    status: int | None
    answer_s: float
    resumes: bool = False
    cut: Cut | None = None


@dataclass(slots=True)
class Verdicts:
    """What the server said of messages, in every answer that it gave, also in those that never reached a device."""

    accepted: int = 0
    repeated: int = 0
    refused: int = 0


@dataclass(slots=True)
class Spent:
    """Bytes of one kind on one link."""

    http_bytes: int = 0
    link_bytes: int = 0
    requests: int = 0


@dataclass(slots=True)
class Traffic:
    """The sums. `told` counts events by kind, `ledger` what `transferred` events say by link and way."""

    told: Counter[str] = field(default_factory=Counter)
    ledger: dict[tuple[str, str], Spent] = field(default_factory=lambda: defaultdict(Spent))
    by_link: dict[tuple[str, Kind], Spent] = field(default_factory=lambda: defaultdict(Spent))
    statuses: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    cuts: Counter[Cut] = field(default_factory=Counter)
    resumes: int = 0
    per_second: Counter[int] = field(default_factory=Counter)
    verdicts: dict[Kind, Verdicts] = field(default_factory=lambda: defaultdict(Verdicts))
    answer_s: dict[Kind, "array[float]"] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, exchange: Exchange) -> None:
        """Count an exchange that the server saw."""
        with self._lock:
            spent = self.by_link[exchange.link, exchange.kind]
            spent.http_bytes += exchange.spent.sent + exchange.spent.received
            spent.link_bytes += exchange.link_bytes
            spent.requests += exchange.spent.requests
            self.statuses[exchange.kind, str(exchange.status or "no answer")] += 1
            self.per_second[int(exchange.at_s)] += exchange.spent.requests
            self.answer_s[exchange.kind].append(exchange.answer_s)
            self.resumes += exchange.resumes
            if exchange.cut is not None:
                self.cuts[exchange.cut] += 1

    def miss(self, cut: Cut) -> None:
        """Count an exchange that never came about."""
        with self._lock:
            self.cuts[cut] += 1

    def tell(self, link: str, event: Mapping[str, Any]) -> None:
        """Count an event that a device has made."""
        with self._lock:
            self.told[event["kind"]] += 1
            if event["kind"] == "transferred":
                detail = event["detail"]
                entry = self.ledger[link, str(detail["way"])]
                entry.http_bytes += detail["bytes_received"] + detail["bytes_sent"]
                entry.requests += detail["requests"]

    def judge(self, kind: Kind, answer: object) -> None:
        """Count what the server says of messages."""
        if not isinstance(answer, dict):
            return
        with self._lock:
            verdicts = self.verdicts[kind]
            verdicts.accepted += int(answer.get("accepted", 0))
            verdicts.repeated += int(answer.get("repeated", 0))
            verdicts.refused += len(answer.get("refused", ()))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest of the ordered values that is at least as great as that share of them (nearest rank); None without values."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else None
