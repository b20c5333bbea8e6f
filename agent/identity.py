"""Who this device is to its server: enrolled once, kept in `identity.json` (0600), never logged.

The credential is rotated without a gap: the new secret is on disk beside the old one before the server hears its digest,
and the old one is dropped only after the server has taken that down. The server accepts both until the new one is first
used, so wherever power fails, one that is on disk is good.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent import disk
from agent.config import Config
from agent.errors import NotEnrolled, RequestRefused, ServerUnavailable, WireInvalid
from agent.http import Client
from agent.ids import parse_id
from agent.layout import Layout

PREFIX = "sfd_"
SECRET_BYTES = 32

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """The device's id and its credential. `server` is where it enrolled, for people: the configuration says whom to ask.

    Attributes:
        next_credential: a new secret that the server may not have heard of yet.
        pins: what came with the enrollment token: by model line the digest of a root to trust.
        approved: whether it could work at once; else an operator had to approve it first.
    """

    server: str
    device_id: str
    credential: str = field(repr=False)
    next_credential: str | None = field(default=None, repr=False)
    pins: Mapping[str, str] = field(default_factory=dict)
    approved: bool = True


def enroll(
    config: Config, layout: Layout, secret: str, attributes: Mapping[str, str], pins: Mapping[str, str] | None = None
) -> Identity:
    """Trade a one-time token for a credential and keep it, with the pins that came with the token.

    Without a token (an empty `secret`), an operator has to approve the device. If power fails between the answer and the
    write, the token is used up and a new one is needed.

    Raises:
        NotEnrolled: the device has an identity already.
        RequestRefused: the token is wrong, used up or expired.
    """
    if layout.identity.exists():
        raise NotEnrolled(f"{layout.identity} is there: this device is enrolled; remove it to enroll anew")
    from agent.serial import found_serial  # here: a daemon is enrolled already

    _prove_writable(layout)
    client = make_client(config, credential="")
    document: dict[str, Any] = {
        "name": config.name,
        "device_class": config.device_class,
        "attributes": dict(attributes),
    }
    optional = {"token": secret, "serial": config.serial or found_serial()}
    document |= {name: value for name, value in optional.items() if value}
    try:
        answer = client.call("POST", "enroll", document=document)
    finally:
        client.close()
    identity = replace(_parse(config.server, answer.json()), pins=dict(pins or {}))
    _keep(layout, identity)
    return identity


def _prove_writable(layout: Layout) -> None:
    """Find out whether the credential can be kept before the server's answer uses the token up."""
    disk.make_directories(layout.root)
    disk.prove_durable(layout.root)


def _keep(layout: Layout, identity: Identity) -> None:
    """Write it down, durably: a reader, and the next start, find the old content or the new."""
    document = {
        "server": identity.server,
        "device_id": identity.device_id,
        "credential": identity.credential,
        "next_credential": identity.next_credential,
        "pins": dict(identity.pins),
        "approved": identity.approved,
    }
    disk.replace_file(layout.identity, json.dumps(document, indent=1).encode(), mode=0o600)


def forget(layout: Layout) -> None:
    """Be enrolled no longer; the server is not asked."""
    disk.remove_file(layout.identity)
    disk.sync_directory(layout.root)


def read(layout: Layout) -> Identity:
    """The identity on disk.

    Raises:
        NotEnrolled: there is none, or it is damaged.
    """
    try:
        document: Any = json.loads(layout.identity.read_bytes())
        upcoming = document.get("next_credential")
        pins: Mapping[object, object] = document.get("pins") or {}
        return Identity(
            server=str(document["server"]),
            device_id=str(document["device_id"]),
            credential=str(document["credential"]),
            next_credential=None if upcoming is None else str(upcoming),
            pins={str(model): str(digest) for model, digest in pins.items()},
            approved=bool(document.get("approved", True)),
        )
    except FileNotFoundError:
        raise NotEnrolled(
            f"{layout.identity} is not there: run `smallfleet agent enroll --token-file FILE` first"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotEnrolled(f"{layout.identity} is damaged ({error!r}): enroll this device anew") from error


def pins_of(config: Config, layout: Layout) -> Mapping[str, str]:
    """By model line the digest of the root to begin with: what is configured, or else what came with the token."""
    try:
        pins = read(layout).pins
    except NotEnrolled:
        pins = {}
    return {**pins, **config.roots}


def make_client(config: Config, *, credential: str, timeout_s: float | None = None) -> Client:
    """A client for the configured server."""
    return Client(
        config.server,
        credential,
        timeout_s=config.download.timeout_s if timeout_s is None else timeout_s,
        tls=config.tls,
        allow_insecure=config.allow_insecure,
    )


@dataclass(slots=True)
class Credential:
    """The credential at work: on disk, and in the client that speaks with it."""

    layout: Layout
    client: Client
    identity: Identity

    def rotate(self) -> bool:
        """Make a new secret and go over to it; whether that is done. What failed is tried again when the server asks again.

        Raises:
            OSError: the disk refused; the credential in use is still good.
        """
        if self.identity.next_credential is None:
            import secrets  # here: with the generators that it brings along it is 220 KiB of a daemon that rotates once in months

            fresh = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
            self._keep(replace(self.identity, next_credential=fresh))
        try:
            self._announce()
        except (ServerUnavailable, RequestRefused, WireInvalid) as error:
            log.warning("credential_not_announced", extra={"slug": error.slug, "why": str(error)})
            return False
        self.go_over()
        log.info("credential_rotated")
        return True

    def _announce(self) -> None:
        announced = hashlib.sha256((self.identity.next_credential or "").encode()).hexdigest()
        self.client.call("PUT", "credential", document={"next_sha256": announced})

    def go_over(self) -> bool:
        """Use the secret that waits, and it alone; False when none does.

        That is right after the server took its digest down, and when the server refuses the old one: a disk that lost what was
        durable may be behind the server.
        """
        upcoming = self.identity.next_credential
        if upcoming is None:
            return False
        self._keep(replace(self.identity, credential=upcoming, next_credential=None))
        self.client.credential = upcoming
        return True

    def _keep(self, identity: Identity) -> None:
        _keep(self.layout, identity)
        self.identity = identity


def _parse(server: str, document: object) -> Identity:
    if not isinstance(document, dict):
        raise WireInvalid("the answer to an enrolment must be an object")
    credential = document.get("credential")
    if not isinstance(credential, str) or not credential.isascii() or not 0 < len(credential) <= 200:
        raise WireInvalid("the answer to the enrolment has no usable credential")
    try:
        device_id = parse_id(document.get("device_id"))
    except ValueError:
        raise WireInvalid("device_id must be a UUID") from None
    return Identity(server, device_id, credential, approved=document.get("approved") is not False)
