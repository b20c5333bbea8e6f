"""Root and targets metadata of one model line: read, checked, signed. Pure: bytes in, bytes out; no network, no files.

The roots of a line are a chain: each is signed by the keys that the one before names, and by its own. Whoever holds one of them in trust
can walk to the newest.
"""

import copy
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from client.errors import Untrusted

COMPACT = JSONSerializer(compact=True)
# The server takes at most 400 and 30 days; a clock that runs ahead must not make these too long.
ROOT_LIFE = timedelta(days=365)
TARGETS_LIFE = timedelta(days=28)
MAX_TARGETS = 32
ONLINE_ROLES = (Snapshot.type, Timestamp.type)


@dataclass(frozen=True, slots=True)
class SignedRoot:
    """A root whose signatures were checked, with its exact bytes."""

    content: bytes
    signed: Root

    @property
    def version(self) -> int:
        return self.signed.version

    @property
    def expires_at(self) -> datetime:
        return self.signed.expires

    @property
    def sha256(self) -> str:
        """The digest that pins this root."""
        return hashlib.sha256(self.content).hexdigest()

    def keyids(self, role: str) -> list[str]:
        """Who may sign for the role."""
        return list(self.signed.roles[role].keyids)


@dataclass(frozen=True, slots=True)
class SignedTargets:
    """Targets metadata with its exact bytes; `keyids` are of the signatures on it, of which the root's were checked."""

    content: bytes
    signed: Targets
    keyids: tuple[str, ...]

    @property
    def version(self) -> int:
        return self.signed.version

    @property
    def expires_at(self) -> datetime:
        return self.signed.expires

    @property
    def targets(self) -> Mapping[str, TargetFile]:
        """What is live, by path (`<version>/<variant>`)."""
        return self.signed.targets


def read_root(content: bytes, model: str) -> SignedRoot:
    """A root that signs itself: what is trusted because it lies in the trust folder, or is about to.

    Raises:
        Untrusted: it is no root of this model line, or its own keys did not sign it.
    """
    return _checked_root(content, model, None)


def follow(trusted: SignedRoot, contents: Iterable[bytes], model: str) -> list[SignedRoot]:
    """The roots after `trusted`, each signed by the keys of the one before and by its own.

    Raises:
        Untrusted: one is not.
    """
    chain = []
    for content in contents:
        trusted = _checked_root(content, model, trusted)
        chain.append(trusted)
    return chain


def read_targets(content: bytes, model: str, roots: Sequence[SignedRoot]) -> SignedTargets:
    """Targets metadata that the publishers of one of these roots signed, and that speaks of this model line alone.

    Raises:
        Untrusted: it is not so.
    """
    metadata = _parse(content)
    targets = metadata.signed
    if not isinstance(targets, Targets):
        raise Untrusted(f"expected targets metadata of {model}, got {targets.type}")
    if not any(_is_signed_by(root, metadata) for root in roots):
        raise Untrusted(
            f"the targets metadata {targets.version} of {model} is signed by no publisher that root {roots[-1].version} "
            f"names (its signatures are of {', '.join(keyid[:12] for keyid in metadata.signatures) or 'nobody'})"
        )
    _require_own(targets, model)
    return SignedTargets(content, targets, tuple(metadata.signatures))


def first_root(
    model: str, *, root: CryptoSigner, publisher: Key, online: Mapping[str, Key], now: datetime
) -> SignedRoot:
    """Root 1 of a line: one key for the root, one publisher, the server's online keys."""
    signed = Root(
        version=1,
        expires=_end(now, ROOT_LIFE),
        consistent_snapshot=True,
        unrecognized_fields={"model": model},
    )
    signed.add_key(root.public_key, Root.type)
    signed.add_key(publisher, Targets.type)
    for role in ONLINE_ROLES:
        signed.add_key(online[role], role)
    return read_root(_sign(signed, [root]), model)


def next_root(
    before: SignedRoot,
    change: Callable[[Root], None],
    *,
    signers: Collection[CryptoSigner],
    model: str,
    now: datetime,
) -> SignedRoot:
    """The root after `before`, with what `change` does to it and a new life.

    Raises:
        Untrusted: `signers` are not enough for the old root's keys, or for the new one's.
    """
    signed = copy.deepcopy(before.signed)
    signed.version += 1
    signed.expires = _end(now, ROOT_LIFE)
    change(signed)
    return _checked_root(_sign(signed, signers), model, before)


def replace_keys(root: Root, role: str, keys: Iterable[Key]) -> None:
    """Let these, and no others, sign for the role."""
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for key in keys:
        root.add_key(key, role)


def sign_targets(
    targets: Mapping[str, TargetFile], *, version: int, model: str, signer: CryptoSigner, now: datetime
) -> SignedTargets:
    """Targets metadata of this content, signed."""
    # The line's name stands here too, or the empty list of one line would pass for that of another with the same publisher.
    signed = Targets(
        version=version,
        expires=_end(now, TARGETS_LIFE),
        targets=dict(targets),
        unrecognized_fields={"model": model},
    )
    return SignedTargets(_sign(signed, [signer]), signed, (signer.public_key.keyid,))


def key_from_wire(document: Mapping[str, Any]) -> Key:
    """One key of `GET trust/online-keys`.

    Its id is made here, from the key alone: keys stand in a root under their ids, and one that borrowed a publisher's would take its place.

    Raises:
        Untrusted: it is no ed25519 key, or has another id than its own.
    """
    try:
        key = SSlibKey.from_crypto(
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(document["key"]["keyval"]["public"]))
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Untrusted(f"the server named an online key that cannot be read: {error}") from error
    if key.keyid != document.get("keyid"):
        raise Untrusted(
            f"the server named an online key that cannot be read: it is {key.keyid[:12]}, not {document.get('keyid')!r}"
        )
    return key


def expiry_of(content: bytes) -> tuple[int, datetime]:
    """Version and end of any metadata file, unchecked: for showing.

    Raises:
        Untrusted: it is no metadata.
    """
    signed = _parse(content).signed
    return signed.version, signed.expires


def live_digests(content: bytes) -> dict[str, str]:
    """By path the sha256 of what targets metadata names, unchecked: for showing, and for what is checked again later.

    Raises:
        Untrusted: it is no targets metadata.
    """
    signed = _parse(content).signed
    if not isinstance(signed, Targets):
        raise Untrusted(f"expected targets metadata, got {signed.type}")
    return {path: target.hashes["sha256"] for path, target in signed.targets.items()}


def _checked_root(content: bytes, model: str, before: SignedRoot | None) -> SignedRoot:
    metadata = _parse(content)
    root = metadata.signed
    if not isinstance(root, Root) or root.unrecognized_fields.get("model") != model:
        raise Untrusted(f"expected a root of {model}, got something else")
    try:
        result = root.get_root_verification_result(
            before.signed if before else None, metadata.signed_bytes, metadata.signatures
        )
    except ValueError as error:
        raise Untrusted(f"root {root.version} of {model} does not follow: {error}") from error
    if not result:
        whose = f"root {before.version}'s keys and its own" if before else "its own keys"
        raise Untrusted(f"root {root.version} of {model} is not signed by {whose}")
    return SignedRoot(content, root)


def _is_signed_by(root: SignedRoot, metadata: Metadata[Any]) -> bool:
    return bool(root.signed.get_verification_result(Targets.type, metadata.signed_bytes, metadata.signatures))


def _require_own(targets: Targets, model: str) -> None:
    if targets.unrecognized_fields.get("model") != model:
        raise Untrusted(f"expected the targets metadata of {model}, got that of another model line")
    for path, target in targets.targets.items():
        custom = target.custom if isinstance(target.custom, dict) else {}
        if custom.get("model") != model or path != f"{custom.get('version')}/{custom.get('variant')}":
            raise Untrusted(f"the target {path} of {model} says of itself that it is another one")


def _parse(content: bytes) -> Metadata[Any]:
    try:
        return Metadata.from_bytes(content)
    except (DeserializationError, RepositoryError) as error:
        raise Untrusted(f"this is no TUF metadata: {error}") from error


def _sign(signed: Signed, signers: Iterable[CryptoSigner]) -> bytes:
    metadata: Metadata[Any] = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes(COMPACT)


def _end(now: datetime, life: timedelta) -> datetime:
    return (now + life).replace(microsecond=0)
