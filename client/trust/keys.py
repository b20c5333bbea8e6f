"""Keys on disk and in the environment: ed25519 as PKCS8 PEM, with or without a passphrase. No key is ever written over.

A passphrase comes from `SMALLFLEET_<ROLE>_PASSPHRASE`, from the file that `…_PASSPHRASE_FILE` names, or from a prompt; never from an option,
where the process list would show it.
"""

import getpass
import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from client.errors import ConfigError, LocalFileError

PUBLISHER_KEY = "SMALLFLEET_PUBLISHER_KEY"
SHORT = 12  # characters of a key's id that people read and type


class KeyRole(StrEnum):
    """Whose key it is, as a person says it."""

    ROOT = "root"
    PUBLISHER = "publisher"


def make_key(file: Path, role: KeyRole, *, ask: bool) -> CryptoSigner:
    """A new key, written to `file` with mode 0600, and its public half beside it. `ask` prompts for a passphrase where the environment has none.

    Raises:
        LocalFileError: the file exists already, or cannot be written.
        ConfigError: the passphrase was typed in two ways.
    """
    private = Ed25519PrivateKey.generate()
    passphrase = _new_passphrase(role, ask=ask)
    encryption: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    _write_new(file, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    # Only of use beside its key, so what lies there from a key that is gone may be replaced.
    file.with_suffix(".pub").write_bytes(public)
    return CryptoSigner(private)


def load_key(file: Path, role: KeyRole) -> CryptoSigner:
    """The key in a PEM file.

    Raises:
        LocalFileError: there is no such file, or no ed25519 key in it.
        ConfigError: the passphrase is missing or wrong.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise LocalFileError(f"{file}: no such file; say with an option where the {role} key is") from None
    except OSError as error:
        raise LocalFileError(f"{file}: {error.strerror}") from error
    return _parse_private(content, str(file), role)


def find_publisher_key(given: Path | None, default: Path) -> CryptoSigner | None:
    """The publisher's key: of `--key`, else of the environment, else of the trust folder; None where none of them has one.

    Raises:
        LocalFileError, ConfigError: it is there and cannot be used.
    """
    if given is None and (text := os.environ.get(PUBLISHER_KEY)):
        return _parse_private(text.encode(), PUBLISHER_KEY, KeyRole.PUBLISHER)
    named = os.environ.get(f"{PUBLISHER_KEY}_FILE")
    if given is None and named:
        return load_key(Path(named), KeyRole.PUBLISHER)
    if given is None and not default.exists():
        return None
    return load_key(given or default, KeyRole.PUBLISHER)


def publisher_key(given: Path | None, default: Path) -> CryptoSigner:
    """As `find_publisher_key`, where there has to be one.

    Raises:
        LocalFileError, ConfigError: there is none, or it cannot be used.
    """
    found = find_publisher_key(given, default)
    if found is None:
        raise ConfigError(
            f"no publisher key: give --key FILE, or set {PUBLISHER_KEY} (the PEM text) or {PUBLISHER_KEY}_FILE; "
            f"there is none at {default} either"
        )
    return found


def read_public_key(file: Path) -> SSlibKey:
    """The public key in a PEM file.

    Raises:
        LocalFileError: there is no such file, or it holds no public ed25519 key.
    """
    content = _read(file)
    if b"PRIVATE KEY" in content:
        raise LocalFileError(
            f"{file} is a private key, which has no business here: give its public half, "
            f"which `openssl pkey -in {file.name} -pubout` prints"
        )
    try:
        public = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LocalFileError(f"{file}: no public key in PEM form: {error}") from error
    if not isinstance(public, Ed25519PublicKey):
        raise LocalFileError(f"{file}: expected an ed25519 key, got {type(public).__name__}")
    return SSlibKey.from_crypto(public)


def short(keyid: str) -> str:
    """The beginning of a key's id, which is enough for people."""
    return keyid[:SHORT]


def _parse_private(content: bytes, source: str, role: KeyRole) -> CryptoSigner:
    is_locked = b"ENCRYPTED" in content
    passphrase = _known_passphrase(role, source) if is_locked else None
    try:
        private = load_pem_private_key(content, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if is_locked:
            raise ConfigError(f"{source}: the passphrase of the {role} key is wrong, or the file is damaged") from error
        raise LocalFileError(f"{source}: no private key in PEM form") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise LocalFileError(f"{source}: expected an ed25519 key, got {type(private).__name__}")
    return CryptoSigner(private)


def _new_passphrase(role: KeyRole, *, ask: bool) -> bytes | None:
    said = _passphrase_in(os.environ, role)
    if said or not ask:
        return said
    first = getpass.getpass(f"new passphrase of the {role} key: ")
    if first != getpass.getpass("once more: "):
        raise ConfigError("the two passphrases differ; nothing was written")
    return first.encode() or None


def _known_passphrase(role: KeyRole, source: str) -> bytes:
    said = _passphrase_in(os.environ, role)
    if said:
        return said
    if not sys.stdin.isatty():
        name = _variable(role)
        raise ConfigError(f"{source} is locked by a passphrase: set {name} or {name}_FILE")
    return getpass.getpass(f"passphrase of the {role} key ({source}): ").encode()


def _passphrase_in(environment: Mapping[str, str], role: KeyRole) -> bytes | None:
    name = _variable(role)
    if text := environment.get(name):
        return text.encode()
    if file := environment.get(f"{name}_FILE"):
        return _read(Path(file)).rstrip(b"\r\n") or None
    return None


def _variable(role: KeyRole) -> str:
    return f"SMALLFLEET_{role.upper()}_PASSPHRASE"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise LocalFileError(f"{file}: {error.strerror}") from error


def _write_new(file: Path, content: bytes) -> None:
    """Write a file that is not there yet and that nobody else can read, not even for a moment."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise LocalFileError(f"{file} exists, and no key is ever written over: move it away first") from None
    except OSError as error:
        raise LocalFileError(f"{file}: {error.strerror}") from error
    with os.fdopen(handle, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
