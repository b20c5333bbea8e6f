"""The server's online keys, ed25519: one signs the snapshots, one the timestamps of all model lines.

They come from the settings, or from files that are made at first use. A line's root names them, so another key is of no use until a new root is
accepted. Whoever steals them can repeat and withhold what publishers signed, until that expires; they sign no model.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from django.conf import settings
from securesystemslib.signer import CryptoSigner, SSlibKey

from registry.errors import OnlineKeysUnusable

ROLES: Final = ("snapshot", "timestamp")


@dataclass(frozen=True, slots=True, repr=False)
class OnlineKeys:
    """What signs for this server."""

    snapshot: CryptoSigner
    timestamp: CryptoSigner

    def public(self) -> dict[str, dict[str, Any]]:
        """By role what a root says of the key: `{keyid, key}`."""
        signers = {"snapshot": self.snapshot, "timestamp": self.timestamp}
        return {
            role: {"keyid": signer.public_key.keyid, "key": signer.public_key.to_dict()}
            for role, signer in signers.items()
        }


def online_keys() -> OnlineKeys:
    """The keys of this server; those that are in no setting are made at first use.

    Raises:
        OnlineKeysUnusable: a key cannot be read or written, or is none.
    """
    return OnlineKeys(*map(_signer, ROLES))


def key_file(role: str) -> Path:
    """Where the key of a role lies when no setting gives it."""
    return Path(settings.SMALLFLEET_KEYS) / f"{role}.pem"


def configured_key(role: str) -> str:
    """The PEM text of the role's setting; empty if it is not set."""
    given: dict[str, str] = {
        "snapshot": settings.SMALLFLEET_SNAPSHOT_KEY,
        "timestamp": settings.SMALLFLEET_TIMESTAMP_KEY,
    }
    return given[role]


def _signer(role: str) -> CryptoSigner:
    with _named(role):
        pem = configured_key(role).encode() or _kept_key(key_file(role))
        key = load_pem_private_key(pem, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError("it is no ed25519 key")
        return CryptoSigner(key, SSlibKey.from_crypto(key.public_key()))


@contextmanager
def _named(role: str) -> Iterator[None]:
    """Say which key is wrong, never what stands in it."""
    source = f"SMALLFLEET_{role.upper()}_KEY" if configured_key(role) else str(key_file(role))
    try:
        yield
    except OSError as error:
        raise OnlineKeysUnusable(f"the {role} key, {source}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise OnlineKeysUnusable(
            f"the {role} key, {source}: give an unencrypted ed25519 private key in PEM (PKCS#8)"
        ) from error


def _kept_key(path: Path) -> bytes:
    """The file's key; a new one where there is none. Of two processes that make it at once, both take the one that was first."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        _keep_new_key(path)
        return path.read_bytes()


def _keep_new_key(path: Path) -> None:
    """Write a new key, whole or not at all, and never over another: a hard link fails where the name is taken."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600, as mkstemp promises
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
        _sync_folder(path.parent)
    finally:
        Path(name).unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
