"""Who this device is to its server: enrolled once, kept in `identity.json` (0600), never logged."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent import disk, wire
from agent.config import Config
from agent.errors import NotEnrolled, WireInvalid
from agent.http import Client
from agent.layout import Layout


@dataclass(frozen=True, slots=True)
class Identity:
    """The device's id and its credential. `server` is where it enrolled, for people: the configuration says whom to ask."""

    server: str
    device_id: str
    credential: str = field(repr=False)
    trusted_root_sha256: str | None = None


def enroll(config: Config, layout: Layout, token: str, attributes: Mapping[str, str]) -> Identity:
    """Trade a one-time token for a credential and keep it.

    If power fails between the answer and the write, the token is used up and a new one is needed.

    Raises:
        NotEnrolled: the device has an identity already.
        RequestRefused: the token is wrong, used up or expired.
    """
    if layout.identity.exists():
        raise NotEnrolled(f"{layout.identity} is there: this device is enrolled; remove it to enroll anew")
    _prove_writable(layout)
    client = make_client(config, credential="")
    try:
        answer = client.call(
            "POST",
            "enroll",
            document={
                "token": token,
                "name": config.name,
                "device_class": config.device_class,
                "attributes": dict(attributes),
            },
        )
    finally:
        client.close()
    identity = _parse(config.server, answer.json())
    document = {
        "server": identity.server,
        "device_id": identity.device_id,
        "credential": identity.credential,
        "trusted_root_sha256": identity.trusted_root_sha256,
    }
    disk.replace_file(layout.identity, json.dumps(document, indent=1).encode(), mode=0o600)
    return identity


def _prove_writable(layout: Layout) -> None:
    """Find out whether the credential can be kept before the server's answer uses the token up."""
    disk.make_directories(layout.root)
    disk.prove_durable(layout.root)


def read(layout: Layout) -> Identity:
    """The identity on disk.

    Raises:
        NotEnrolled: there is none, or it is damaged.
    """
    try:
        document: Any = json.loads(layout.identity.read_bytes())
        identity = Identity(
            server=str(document["server"]),
            device_id=str(document["device_id"]),
            credential=str(document["credential"]),
            trusted_root_sha256=document.get("trusted_root_sha256"),
        )
    except FileNotFoundError:
        raise NotEnrolled(f"{layout.identity} is not there: run `smallfleet agent enroll --token ...` first") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotEnrolled(f"{layout.identity} is damaged ({error!r}): enroll this device anew") from error
    return identity


def make_client(config: Config, *, credential: str) -> Client:
    """A client for the configured server."""
    return Client(
        config.server,
        credential,
        timeout_s=config.download.timeout_s,
        ca_file=config.ca_file,
        allow_insecure=config.allow_insecure,
    )


def _parse(server: str, document: object) -> Identity:
    if not isinstance(document, dict):
        raise WireInvalid("the answer to an enrolment must be an object")
    credential = document.get("credential")
    if not isinstance(credential, str) or not credential.isascii() or not 0 < len(credential) <= 200:
        raise WireInvalid("the answer to the enrolment has no usable credential")
    try:
        device_id = str(uuid.UUID(str(document.get("device_id"))))
    except ValueError:
        raise WireInvalid("device_id must be a UUID") from None
    root = document.get("trusted_root_sha256")
    return Identity(server, device_id, credential, None if root is None else wire.parse_sha256(root))
