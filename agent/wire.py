"""What comes over the wire, checked value by value. Everything here was written by somebody else.

The rules are those of `docs/wire.md`. Unknown fields are ignored; a known field with a wrong value refuses the whole
entry. Digests, sizes and names are the only values that reach a path or a limit, and they are narrowed here: a digest is
64 lower-case hex digits, a size a whole number up to the device's own cap, a model one of the configured lines.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.errors import WireInvalid
from agent.ids import parse_id
from delta.versions import READABLE_VERSIONS

SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_CONTRACT_BYTES = 64_000
MAX_WAYS = 32
MAX_DEVICE_CLASSES = 64
MAX_NUMBER = 1e30
MAX_POLL_AFTER_S = 86_400.0
MAX_WAIT_S = 30 * 86_400.0
# For what was checked against the device's cap when it came, and is read back from the device's own disk.
ANY_SIZE = 1 << 62


class Way(StrEnum):
    """A means of getting a target; `previous` is the step back that costs no byte."""

    DELTA = "delta"
    PACKED = "packed"
    RAW = "raw"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes by their digest."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to a target: which bytes to fetch, and what they are based on."""

    way: Way
    sha256: str
    size_bytes: int
    base: str | None = None
    format: int | None = None


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far from its golden outputs a model may be; `None` leaves the choice to the ruler."""

    atol: float | None = None
    rtol: float | None = None
    min_agreement: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may need on a device, as its publisher signed it; `None` is no limit."""

    p50_latency_ns: int | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What to install, as its publisher signed it. No `device_classes` are all of them."""

    version: str
    variant: str
    sha256: str
    size_bytes: int
    contract: Blob
    sample_set: Blob | None
    tolerances: Tolerances
    limits: Limits = Limits()
    device_classes: tuple[str, ...] = ()
    downgrade: bool = False

    @property
    def path(self) -> str:
        """Its name in the metadata."""
        return f"{self.version}/{self.variant}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the server wants: bytes. `path` tells which signed target it means where several have the same, and no more."""

    sha256: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the server wants of one installation, none of it to be believed. `targets_version` is of its newest targets metadata."""

    model: str
    hold: bool
    rollout: str | None
    target: Wanted | None
    ways: tuple[Offer, ...] = ()
    delta_pending: bool = False
    wait_for_delta_s: float = 0.0
    targets_version: int | None = None


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """A whole answer. `refused` names what was wrong with the entries that were left out.

    `rotate_credential`: the device shall make itself a new credential.
    """

    poll_after_s: float
    entries: Mapping[str, Entry]
    refused: tuple[str, ...] = ()
    rotate_credential: bool = False


def parse_poll_answer(document: object, *, models: Collection[str], max_artifact_bytes: int) -> PollAnswer:
    """Read a poll answer. An entry for a line this device does not have is ignored, a wrong one is left out and named.

    Raises:
        WireInvalid: the answer as a whole is none.
    """
    answer = _object(document, "answer")
    poll_after_s = parse_poll_after_s(answer.get("poll_after_s"))
    listed = answer.get("installations")
    if not isinstance(listed, list):
        raise WireInvalid("installations must be a list")
    entries: dict[str, Entry] = {}
    refused: list[str] = []
    for document_of_one in listed:
        try:
            entry = parse_entry(document_of_one, models=models, max_artifact_bytes=max_artifact_bytes)
        except WireInvalid as error:
            refused.append(str(error))
        else:
            if entry is not None:
                entries[entry.model] = entry
    return PollAnswer(poll_after_s, entries, tuple(refused), answer.get("rotate_credential") is True)


def parse_entry(document: object, *, models: Collection[str], max_artifact_bytes: int) -> Entry | None:
    """Read one entry; `None` when it is about a line that this device does not have.

    Raises:
        WireInvalid: a field breaks the contract.
    """
    entry = _object(document, "entry")
    model = entry.get("model")
    if not isinstance(model, str) or model not in models:
        return None
    action = entry.get("action")
    if action not in ("install", "hold"):
        raise WireInvalid(f"action must be install or hold, is {_shown(action)}")
    target = entry.get("target")
    policy = _object(entry.get("policy") or {}, "policy")
    parsed = None if target is None else parse_wanted(target)
    return Entry(
        model=model,
        hold=action == "hold",
        rollout=parse_rollout(entry.get("rollout")),
        target=parsed,
        ways=() if parsed is None else _offers(entry.get("ways"), parsed, max_artifact_bytes=max_artifact_bytes),
        delta_pending=policy.get("delta_pending") is True,
        wait_for_delta_s=_number(policy.get("wait_for_delta_s", 0), "wait_for_delta_s", most=MAX_WAIT_S),
        targets_version=_optional_count(entry.get("targets_version"), "targets_version"),
    )


def parse_wanted(document: object) -> Wanted:
    """Read which bytes the server wants; of what else it says of them, only by what name it means them.

    Raises:
        WireInvalid: there is no digest.
    """
    target = _object(document, "target")
    return Wanted(parse_sha256(target.get("sha256")), f"{target.get('version')}/{target.get('variant')}"[:401])


def parse_target(document: object, *, max_artifact_bytes: int) -> Target:
    """Read a target as the checking child and the device's own disk have it.

    Raises:
        WireInvalid: a field breaks the contract, or a size is above the cap.
    """
    target = _object(document, "target")
    samples = target.get("sample_set")
    return Target(
        version=_label(target.get("version"), "version"),
        variant=_label(target.get("variant"), "variant"),
        sha256=parse_sha256(target.get("sha256")),
        size_bytes=_size(target.get("size_bytes"), most=max_artifact_bytes),
        contract=_blob(target.get("contract"), "contract", most=MAX_CONTRACT_BYTES),
        sample_set=None if samples is None else _blob(samples, "sample_set", most=max_artifact_bytes),
        tolerances=_tolerances(target.get("tolerances")),
        limits=_limits(target.get("limits")),
        device_classes=_device_classes(target.get("device_classes")),
        downgrade=target.get("downgrade") is True,
    )


def parse_offer(document: object, *, max_artifact_bytes: int) -> Offer | None:
    """Read one way; `None` when this agent cannot go it (unknown kind, unknown format, too large).

    Raises:
        WireInvalid: a field breaks the contract.
    """
    offer = _object(document, "way")
    kind = offer.get("way")
    if kind not in (Way.DELTA, Way.PACKED, Way.RAW):
        return None
    sha256 = parse_sha256(offer.get("sha256"))
    size_bytes = _size(offer.get("size_bytes"), most=None)
    base = parse_sha256(offer.get("base")) if kind == Way.DELTA else None
    patch_format = None if kind == Way.RAW else offer.get("format")
    if size_bytes > max_artifact_bytes or (kind != Way.RAW and patch_format not in READABLE_VERSIONS):
        return None
    return Offer(Way(kind), sha256, size_bytes, base=base, format=patch_format)


def parse_sha256(value: object) -> str:
    """Narrow a value to a lower-case hex digest, which is safe in a path.

    Raises:
        WireInvalid: it is none.
    """
    if not isinstance(value, str) or not SHA256.fullmatch(value):
        raise WireInvalid(f"sha256 must be 64 lower-case hex digits, is {_shown(value)}")
    return value


def parse_poll_after_s(value: object) -> float:
    """Narrow a value to seconds until the next poll, a day at most.

    Raises:
        WireInvalid: it is no number of seconds.
    """
    return min(_number(value, "poll_after_s", most=MAX_NUMBER), MAX_POLL_AFTER_S)


def parse_rollout(value: object) -> str | None:
    """Narrow a value to a UUID in its usual form, or `None`.

    Raises:
        WireInvalid: it is neither.
    """
    if value is None:
        return None
    try:
        return parse_id(value)
    except ValueError:
        raise WireInvalid(f"rollout must be a UUID or null, is {_shown(value)}") from None


def parse_etag(value: object) -> str | None:
    """An ETag that can be sent back; one that no request may hold costs the next poll its 304, and no more."""
    return value if isinstance(value, str) and value.isascii() and value.isprintable() else None


def _offers(listed: object, wanted: Wanted, *, max_artifact_bytes: int) -> tuple[Offer, ...]:
    if not isinstance(listed, list):
        raise WireInvalid("ways must be a list")
    offers = [parse_offer(one, max_artifact_bytes=max_artifact_bytes) for one in listed[:MAX_WAYS]]
    usable = [offer for offer in offers if offer is not None]
    for offer in usable:
        if offer.way is Way.RAW and offer.sha256 != wanted.sha256:
            raise WireInvalid("the raw way is not the target")
    return tuple(usable)


def _tolerances(document: object) -> Tolerances:
    if document is None:
        return Tolerances()
    fields = _object(document, "tolerances")
    values = {
        name: None if fields.get(name) is None else _number(fields[name], name, most=MAX_NUMBER)
        for name in ("atol", "rtol", "min_agreement")
    }
    return Tolerances(**values)


def _limits(document: object) -> Limits:
    if document is None:
        return Limits()
    fields = _object(document, "limits")
    return Limits(**{name: _optional_count(fields.get(name), name) for name in ("p50_latency_ns", "peak_memory_bytes")})


def _device_classes(listed: object) -> tuple[str, ...]:
    if listed is None:
        return ()
    if not isinstance(listed, list) or len(listed) > MAX_DEVICE_CLASSES:
        raise WireInvalid(f"device_classes must be a list of at most {MAX_DEVICE_CLASSES}")
    return tuple(_label(one, "device_classes") for one in listed)


def _optional_count(value: object, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= ANY_SIZE:
        raise WireInvalid(f"{name} must be a whole number or null, is {_shown(value)}")
    return value


def _blob(document: object, name: str, *, most: int) -> Blob:
    blob = _object(document, name)
    return Blob(parse_sha256(blob.get("sha256")), _size(blob.get("size_bytes"), most=most))


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise WireInvalid(f"{name} must be an object, is {_shown(value)}")
    return value


def _size(value: object, *, most: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise WireInvalid(f"size_bytes must be a whole number of bytes, is {_shown(value)}")
    if most is not None and value > most:
        raise WireInvalid(f"size_bytes is {value}, this device takes at most {most}")
    return value


def _number(value: object, name: str, *, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireInvalid(f"{name} must be a number, is {_shown(value)}")
    if not 0 <= value <= most:
        raise WireInvalid(f"{name} must be from 0 to {most:g}, is {value}")
    return float(value)


def _label(value: object, name: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise WireInvalid(f"{name} must be a printable text of at most 200 characters, is {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """A wrong value, short enough for a log line."""
    return repr(value)[:80]


def parse_json(content: bytes, what: str) -> object:
    """Decode JSON.

    Raises:
        WireInvalid: it is none.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise WireInvalid(f"{what} is no JSON: {error}") from error
