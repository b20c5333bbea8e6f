"""The answer to a poll, from values. What is read to make it stands in `queries.poll_state`; nothing here touches a database or a clock."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from registry.deltas.queries import Way

# While a delta is being built for it, a device looks again soon; the next answer takes the usual interval back.
PENDING_POLL_AFTER_S = 30
# 72 bits tell the answers to one device apart; every character of it travels in both directions in each idle poll.
ETAG_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class File:
    """An artifact as it stands in an answer."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far the outputs may be from the golden ones."""

    atol: float | None = None
    rtol: float | None = None
    min_agreement: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where an installation should go."""

    version: str
    variant: str
    model: File
    contract: File
    sample_set: File | None
    tolerances: Tolerances


@dataclass(frozen=True, slots=True)
class InstallationState:
    """What the server knows of one installation.

    Attributes:
        on_hold: the rollout is paused, or the target was yanked or signed out.
        ways: besides `raw`, which always is one.
        targets_version: of the line's newest signed targets metadata; None where it has none.
    """

    model: str
    target: Target | None = None
    rollout: str | None = None
    on_hold: bool = False
    ways: Sequence[Way] = ()
    delta_pending: bool = False
    wait_for_delta_s: int = 0
    targets_version: int | None = None


def poll_answer(installations: Iterable[InstallationState], *, poll_after_s: int) -> dict[str, Any]:
    """The body of the answer, as docs/wire.md has it."""
    states = sorted(installations, key=lambda state: state.model)
    waiting = any(state.delta_pending for state in states)
    return {
        "poll_after_s": min(poll_after_s, PENDING_POLL_AFTER_S) if waiting else poll_after_s,
        "installations": [_installation(state) for state in states],
    }


def poll_etag(answer: dict[str, Any], *, said_sha256: str) -> str:
    """The strong entity tag of an answer: over all of it but `poll_after_s`, and over what the device last said."""
    covered = {key: value for key, value in answer.items() if key != "poll_after_s"}
    canonical = json.dumps([covered, said_sha256], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).digest()
    return f'"{base64.urlsafe_b64encode(digest).decode()[:ETAG_CHARACTERS]}"'


def etag_matches(if_none_match: str, etag: str) -> bool:
    """Whether an `If-None-Match` header names the tag; by weak comparison (RFC 9110, 13.1.2)."""
    named = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in named or "*" in named


def _installation(state: InstallationState) -> dict[str, Any]:
    target = state.target
    return {
        "model": state.model,
        "targets_version": state.targets_version,
        "action": "hold" if state.on_hold else "install",
        "rollout": state.rollout,
        "target": None if target is None else _target(target),
        "ways": [] if target is None else [_way(offer) for offer in _sorted_ways(target, state.ways)],
        "policy": {"delta_pending": state.delta_pending, "wait_for_delta_s": state.wait_for_delta_s},
    }


def _sorted_ways(target: Target, ways: Iterable[Way]) -> list[Way]:
    raw = Way("raw", target.model.sha256, target.model.size_bytes)
    offers = [raw, *(offer for offer in ways if offer.way != "raw")]
    return sorted(offers, key=lambda offer: (offer.size_bytes, offer.way, offer.sha256))


def _target(target: Target) -> dict[str, Any]:
    return {
        "version": target.version,
        "variant": target.variant,
        **_file(target.model),
        "contract": _file(target.contract),
        "sample_set": None if target.sample_set is None else _file(target.sample_set),
        "tolerances": {
            "atol": target.tolerances.atol,
            "rtol": target.tolerances.rtol,
            "min_agreement": target.tolerances.min_agreement,
        },
    }


def _file(file: File) -> dict[str, Any]:
    return {"sha256": file.sha256, "size_bytes": file.size_bytes}


def _way(offer: Way) -> dict[str, Any]:
    way: dict[str, Any] = {"way": offer.way, "sha256": offer.sha256, "size_bytes": offer.size_bytes}
    if offer.base is not None:
        way["base"] = offer.base
    if offer.format is not None:
        way["format"] = offer.format
    return way
