"""Making a device trust: the first root of a line by its pin, and whatever signed metadata follows from it.

Each of these changes at most one document, by `agent/trust/keeping.py`, and that in one step.
"""

import hashlib
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from agent import disk, wire
from agent.clock import Clock
from agent.errors import NotApproved, NotTrusted, RequestRefused, Unauthenticated, WireInvalid
from agent.http import Client
from agent.layout import Layout
from agent.trust import keeping, news
from agent.trust.checking import Checked, check
from agent.trust.files import ROOT
from agent.trust.keeping import Kept
from agent.trust.verified import Floor, Versions, not_before

log = logging.getLogger(__name__)


def establish_roots(client: Client, layout: Layout, models: Collection[str], pins: Mapping[str, str]) -> None:
    """Fetch and keep for every line the root whose digest is its pin, with all that follows from it.

    A line that has a trusted root keeps that, unless its pin is of another chain of roots. `client` has the device's credential.

    Raises:
        NotTrusted: a line has no pin and no trusted root, or the server no root with that digest. Lines before it are kept.
        ServerUnavailable, Unauthenticated, WireInvalid, OSError: the same, and it may go well another time.
    """
    disk.make_directories(layout.trust)
    for model in models:
        kept, pin = keeping.read(layout, model), pins.get(model)
        if pin is not None:
            if kept is None or kept.pin != pin:
                establish(client, layout, model, pin, kept=kept)
        elif kept is None:
            raise NotTrusted(no_root(model))


def require_pins(models: Collection[str], pins: Mapping[str, str]) -> None:
    """Find out whether every line has a pin before a token is used up.

    Raises:
        NotTrusted: a line has none.
    """
    for model in models:
        if model not in pins:
            raise NotTrusted(no_root(model))


def no_root(model: str) -> str:
    """What to tell of a line that nothing leads to."""
    return (
        f"{model}: no root is trusted for this model line; enroll with a token that has its pin, set {model} under [trust] roots, "
        f"or run `smallfleet agent trust {model} DIGEST`"
    )


def establish(client: Client, layout: Layout, model: str, pin: str, *, kept: Kept | None = None) -> Kept:
    """Trust the root whose digest is `pin`; what is `kept` stays where the server's roots lead from the pin to it.

    Raises:
        As `establish_roots`.
    """
    try:
        document = news.fetch(client, model, Versions())
    except (Unauthenticated, NotApproved):
        raise
    except RequestRefused as error:
        raise NotTrusted(f"{model}: the server gives no metadata of this line: {error}") from error
    if document is None:
        raise NotTrusted(f"{model}: the server has no metadata of this line")
    if kept is not None and _leads(document, pin, kept.root_sha256):
        return kept
    checked = learn(layout, model, None, pin=pin, content=document, clock=Clock())
    found = keeping.read(layout, model)
    if not checked.files or found is None:
        why = "nothing was verified" if checked.denied is None else checked.denied.detail
        raise NotTrusted(
            f"{model}: the server shows no root that fits the pin: {why}; compare the pin with the digests of the publisher's *.root.json files, "
            "and ask the fleet's operator for a new enrollment token"
        )
    return found


def _leads(document: bytes, pin: str, to: str) -> bool:
    """Whether one root comes at or after another in the server's list. Both digests are trusted already, only their order is not."""
    listed = wire.parse_json(document, "the news")
    roots = listed.get("roots") if isinstance(listed, dict) else None
    if not isinstance(roots, list):
        raise WireInvalid("roots must be a list")
    digests = [hashlib.sha256(str(text).encode()).hexdigest() for text in roots]
    return pin in digests and to in digests[digests.index(pin) :]


def learn(
    layout: Layout, model: str, kept: Kept | None, *, pin: str, content: bytes, clock: Clock, nice: int = 0
) -> Checked:
    """Have news checked on top of what is kept, and keep what was verified.

    Raises:
        OSError: the disk refused; the old trust stands.
    """
    files: Mapping[str, str] = {} if kept is None else kept.files
    floor = None if kept is None else kept.floor
    moment = clock.now()
    at = not_before(floor, clock.utc(), moment)
    checked = check(layout.checking(model), model, files, pin=pin, news=content, at=at, nice=nice)
    if not checked.files:
        return checked
    if checked.says is None:
        fresh = Kept(pin, MappingProxyType({**files, ROOT: checked.files[ROOT]}), None, floor)
    else:
        reached = floor if checked.says.is_expired(at) else Floor(at, moment)
        fresh = Kept(pin, MappingProxyType(dict(checked.files)), checked.says, reached)
    keeping.write(layout, model, fresh if kept is None else replace(fresh, pin=kept.pin))
    log.info("metadata_kept", extra={"model": model, "whole": checked.says is not None})
    return checked
