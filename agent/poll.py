"""Speaking with the server about what it wants: saying what this device has when that changed, asking otherwise."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.config import Config
from agent.errors import SayFirst, WireInvalid
from agent.http import Answer, Client
from agent.keeping import Keeper
from agent.state import Heard, LineState, State
from agent.wire import PollAnswer, parse_poll_answer
from delta.versions import READABLE_VERSIONS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Saying:
    """What a device says of itself, and the digest by which it is recognised as said."""

    document: Mapping[str, Any]
    digest: str


def saying(config: Config, state: State, *, agent_version: str) -> Saying:
    """What this device has to say now. Configured attributes win over found facts."""
    facts = {} if state.facts is None else state.facts.attributes
    lines = ((model, state.lines[model]) for model in config.models)
    document = {
        "agent_version": agent_version,
        "patch_formats": list(READABLE_VERSIONS),
        "device_class": config.device_class,
        "attributes": {**facts, **config.attributes},
        "installations": [_installation(model, line) for model, line in lines],
    }
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return Saying(document, hashlib.sha256(canonical).hexdigest())


def _installation(model: str, line: LineState) -> dict[str, Any]:
    said: dict[str, Any] = {"model": model, "current": line.current, "previous": line.previous}
    if line.waits_for is not None:
        said["refused"] = {"rule": line.waits_for.rule, "detail": line.waits_for.detail}
    return said


def poll(client: Client, store: Keeper, config: Config, said: Saying) -> PollAnswer:
    """Ask the server once and remember its answer; after a 304, the remembered one.

    Raises:
        ServerUnavailable, RequestRefused, WireInvalid: nothing changed.
    """
    answer = _ask(client, store.state.heard, said)
    if answer.status == 304:
        heard = store.state.heard
        if heard is None:
            raise WireInvalid("304 to a question without a condition")
        return _parsed(config, {"poll_after_s": heard.poll_after_s, "installations": list(heard.installations)})
    document = answer.json()
    parsed = _parsed(config, document)
    if not isinstance(document, dict):  # parsed above; for the type checker
        raise WireInvalid("an answer must be an object")
    # Only what is about this device's lines: the state is rewritten with every step.
    kept = tuple(
        one for one in document["installations"] if isinstance(one, dict) and one.get("model") in parsed.entries
    )
    heard = Heard(said.digest, answer.etag, parsed.poll_after_s, kept)
    if heard != store.state.heard:
        store.commit(replace(store.state, heard=heard))
    return parsed


def _ask(client: Client, heard: Heard | None, said: Saying) -> Answer:
    if heard is not None and heard.said == said.digest and heard.etag is not None:
        try:
            return client.call("GET", "poll", etag=heard.etag)
        except SayFirst:
            log.info("say_first")
    return client.call("POST", "poll", document=said.document)


def _parsed(config: Config, document: object) -> PollAnswer:
    parsed = parse_poll_answer(document, models=config.models, max_artifact_bytes=config.download.max_artifact_bytes)
    for problem in parsed.refused:
        log.error("entry_refused", extra={"why": problem})
    return parsed
