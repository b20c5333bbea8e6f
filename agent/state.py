"""What the agent knows between two moments of power: one JSON document, replaced in one step.

A commit holds the new state *and* the events that belong to the change. The events are laid out in the outbox right after;
when power fails in between, the next start finds them in the document and lays them out then. So no change is ever
without its event, and no event without its change. `current` is not in the document: the symlink is the truth.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from agent import wire
from agent.clock import Instant
from agent.errors import WireInvalid
from agent.ids import parse_id
from agent.trust.rules import Denied
from agent.wire import Offer, Target, Way

SCHEMA = "smallfleet-agent-state/1"


class Stage(StrEnum):
    """How far an attempt has come. Each is reached by one commit."""

    NEW = "new"  # known, nothing chosen
    CHOSEN = "chosen"  # a way is chosen, its bytes are being fetched
    FETCHED = "fetched"  # all bytes are here and have their digests
    STAGED = "staged"  # the slot is complete and durable
    CHECKED = "checked"  # the smoke run passed
    READY = "ready"  # so did the shadow run, where there is one: only the activation is left
    SWITCHING = "switching"  # `current` is about to be replaced; `replaces` names what becomes `previous`
    OBSERVED = "observed"  # `current` is the target, and its health is not known
    STEPPING_BACK = "stepping-back"  # it is not healthy: `current` goes back to `replaces`; `setback` says why


# What is finished whatever the server says, and also when it cannot be asked: the device's safety needs no server.
UNASKED = frozenset({Stage.OBSERVED, Stage.STEPPING_BACK})


@dataclass(frozen=True, slots=True)
class Setback:
    """Why a way failed, in the words of the events: stage, reason (a slug), detail."""

    stage: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Pending:
    """An attempt under way. `seq` numbers its next event, `setback` is why the last way failed."""

    attempt: str
    rollout: str | None
    target: Target
    since: Instant
    stage: Stage = Stage.NEW
    offer: Offer | None = None
    failed_offers: tuple[str, ...] = ()
    setback: Setback | None = None
    seq: int = 0
    smoke_runs: int = 0
    shadow_runs: int = 0
    health_runs: int = 0
    replaces: str | None = None
    # Bytes of each unfinished download that an event has accounted for, by digest.
    accounted: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def artifacts(self) -> tuple[str, ...]:
        """The digests of all bytes that this attempt has a use for."""
        target = self.target
        blobs = (target, target.contract, target.sample_set, self.offer)
        return tuple(sorted({blob.sha256 for blob in blobs if blob is not None}))


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failed attempt at a target in a rollout. `keeps` are digests whose bytes wait for the next one."""

    sha256: str
    rollout: str | None
    reason: str
    permanent: bool
    times: int
    at: Instant
    keeps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """The owner's rule that holds something back, and since when."""

    rule: str
    detail: str
    since: Instant


@dataclass(frozen=True, slots=True)
class News:
    """When the server was last asked for newer metadata, and for which reason; `denied` is why what it gave was refused.

    `targets_version` and `missing` are what the poll answer then spoke of and this device did not know: the version of the targets
    metadata, and the digest that was wanted and not signed.
    """

    at: Instant
    targets_version: int | None = None
    missing: str | None = None
    denied: Denied | None = None


@dataclass(frozen=True, slots=True)
class DueBenchmark:
    """A benchmark that an activation has earned and that has not been reported; `refused` is the rule that it waits for."""

    sha256: str
    attempt: str
    runs: int = 0
    refused: Refusal | None = None


@dataclass(frozen=True, slots=True)
class LineState:
    """One model line on this device. `refused` is the rule that its attempt waits for.

    `verified` is when the bytes of the slots were last looked at; `damaged` the digest of a slot that is served, for want of
    another, though its bytes are not that: it counts as no model.
    """

    current: str | None = None
    previous: str | None = None
    pending: Pending | None = None
    failures: tuple[Failure, ...] = ()
    benchmark: DueBenchmark | None = None
    refused: Refusal | None = None
    verified: Instant | None = None
    damaged: str | None = None
    news: News | None = None

    @property
    def waits_for(self) -> Refusal | None:
        """The rule that keeps the device from what the server wants of it: the model, or else the benchmark."""
        return self.refused or (self.benchmark.refused if self.benchmark is not None else None)

    def failure_of(self, sha256: str, rollout: str | None) -> Failure | None:
        return next((one for one in self.failures if (one.sha256, one.rollout) == (sha256, rollout)), None)


@dataclass(frozen=True, slots=True)
class Heard:
    """The server's last answer and what this device had said when it was given."""

    said: str
    etag: str | None
    poll_after_s: float
    installations: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the facts child found out during one boot."""

    boot_id: str
    agent_version: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is remembered. `events` were committed and may not be in the outbox yet."""

    lines: Mapping[str, LineState]
    heard: Heard | None = None
    facts: Facts | None = None
    events: tuple[Mapping[str, Any], ...] = ()

    def with_line(self, model: str, line: LineState) -> "State":
        """The same state with one line replaced."""
        return replace(self, lines=MappingProxyType({**self.lines, model: line}))

    def wanted(self, model: str) -> str | None:
        """The digest of the target that the server last named for a line."""
        listed = () if self.heard is None else self.heard.installations
        targets = [one.get("target") for one in listed if one.get("model") == model]
        return str(targets[-1].get("sha256")) if targets and targets[-1] else None


def to_json(state: State) -> bytes:
    """The document of a state; `current` is left out."""
    lines = {model: _line_document(line) for model, line in state.lines.items()}
    document = {
        "schema": SCHEMA,
        "lines": lines,
        "heard": None if state.heard is None else asdict(state.heard),
        "facts": None if state.facts is None else _facts_document(state.facts),
        "events": [dict(event) for event in state.events],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def from_json(content: bytes) -> State:
    """Read a document back, as strictly as if it came over the wire.

    Raises:
        WireInvalid: it is no state of this schema.
    """
    document = wire.parse_json(content, "state")
    try:
        if not isinstance(document, dict) or document["schema"] != SCHEMA:
            raise WireInvalid("state has another schema")
        return State(
            lines=MappingProxyType({model: _line(one) for model, one in document["lines"].items()}),
            heard=_heard(document["heard"]),
            facts=_facts(document["facts"]),
            events=tuple(map(_event, document["events"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireInvalid(f"state is damaged: {error!r}") from error


def _line_document(line: LineState) -> dict[str, Any]:
    pending = None
    if line.pending is not None:
        # asdict() cannot copy a read-only mapping.
        pending = asdict(replace(line.pending, accounted={})) | {"accounted": dict(line.pending.accounted)}
    return {
        "previous": line.previous,
        "pending": pending,
        "failures": [asdict(failure) for failure in line.failures],
        "benchmark": None if line.benchmark is None else asdict(line.benchmark),
        "refused": None if line.refused is None else asdict(line.refused),
        "verified": None if line.verified is None else asdict(line.verified),
        "damaged": line.damaged,
        "news": None if line.news is None else asdict(line.news),
    }


def _facts_document(facts: Facts) -> dict[str, Any]:
    return {"boot_id": facts.boot_id, "agent_version": facts.agent_version, "attributes": dict(facts.attributes)}


def _line(document: Mapping[str, Any]) -> LineState:
    return LineState(
        previous=_optional_sha256(document["previous"]),
        pending=None if document["pending"] is None else _pending(document["pending"]),
        failures=tuple(_failure(one) for one in document["failures"]),
        benchmark=None if document["benchmark"] is None else _due_benchmark(document["benchmark"]),
        refused=_refusal(document.get("refused")),
        # Not in the documents of earlier versions.
        verified=None if document.get("verified") is None else Instant(**document["verified"]),
        damaged=_optional_sha256(document.get("damaged")),
        news=None if document.get("news") is None else _news(document["news"]),
    )


def _pending(document: Mapping[str, Any]) -> Pending:
    return Pending(
        attempt=str(document["attempt"]),
        rollout=wire.parse_rollout(document["rollout"]),
        target=wire.parse_target(document["target"], max_artifact_bytes=wire.ANY_SIZE),
        since=Instant(**document["since"]),
        stage=Stage(document["stage"]),
        offer=None if document["offer"] is None else _offer(document["offer"]),
        failed_offers=tuple(map(wire.parse_sha256, document["failed_offers"])),
        setback=None if document["setback"] is None else Setback(**document["setback"]),
        seq=int(document["seq"]),
        smoke_runs=int(document["smoke_runs"]),
        # Not in the documents of earlier versions.
        shadow_runs=int(document.get("shadow_runs", 0)),
        health_runs=int(document.get("health_runs", 0)),
        replaces=_optional_sha256(document["replaces"]),
        accounted=MappingProxyType({wire.parse_sha256(key): int(size) for key, size in document["accounted"].items()}),
    )


def _offer(document: Mapping[str, Any]) -> Offer:
    if document["way"] == Way.PREVIOUS:
        return Offer(Way.PREVIOUS, wire.parse_sha256(document["sha256"]), 0)
    offer = wire.parse_offer(document, max_artifact_bytes=wire.ANY_SIZE)
    if offer is None:
        raise WireInvalid(f"state holds a way that this agent does not know: {document['way']!r}")
    return offer


def _failure(document: Mapping[str, Any]) -> Failure:
    return Failure(
        sha256=wire.parse_sha256(document["sha256"]),
        rollout=wire.parse_rollout(document["rollout"]),
        reason=str(document["reason"]),
        permanent=bool(document["permanent"]),
        times=int(document["times"]),
        at=Instant(**document["at"]),
        # Not in the documents of earlier versions.
        keeps=tuple(map(wire.parse_sha256, document.get("keeps", ()))),
    )


def _due_benchmark(document: Mapping[str, Any]) -> DueBenchmark:
    return DueBenchmark(
        sha256=wire.parse_sha256(document["sha256"]),
        attempt=str(document["attempt"]),
        runs=int(document["runs"]),
        refused=_refusal(document.get("refused")),
    )


def _refusal(document: Mapping[str, Any] | None) -> Refusal | None:
    """Not in the documents of earlier versions."""
    if document is None:
        return None
    return Refusal(str(document["rule"]), str(document["detail"]), Instant(**document["since"]))


def _news(document: Mapping[str, Any]) -> News:
    version, denied = document["targets_version"], document["denied"]
    return News(
        at=Instant(**document["at"]),
        targets_version=None if version is None else int(version),
        missing=_optional_sha256(document["missing"]),
        denied=None if denied is None else Denied(str(denied["rule"]), str(denied["detail"])),
    )


def _event(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event by which a file can be named."""
    parse_id(document["attempt"])
    int(document["seq"])
    return document


def _heard(document: Mapping[str, Any] | None) -> Heard | None:
    if document is None:
        return None
    return Heard(
        said=str(document["said"]),
        etag=wire.parse_etag(document["etag"]),
        poll_after_s=wire.parse_poll_after_s(document["poll_after_s"]),
        installations=tuple(map(dict, document["installations"])),
    )


def _facts(document: Mapping[str, Any] | None) -> Facts | None:
    if document is None:
        return None
    attributes = {str(key): str(value) for key, value in document["attributes"].items()}
    return Facts(str(document["boot_id"]), str(document["agent_version"]), attributes)


def _optional_sha256(value: object) -> str | None:
    return None if value is None else wire.parse_sha256(value)
