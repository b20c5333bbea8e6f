"""A model line that is really signed: the offline keys of its owner and publisher, and metadata made with python-tuf.

Nothing above `Database` touches Django, so that tests of clients and devices use it as well: they take the online keys from
`GET trust/online-keys` of a running server, or from `online_key_pair` where they play the server themselves.
"""

import copy
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

if TYPE_CHECKING:
    from registry.models import ModelLine, Variant

COMPACT = JSONSerializer(compact=True)
ROOT_LIFE = timedelta(days=365)
TARGETS_LIFE = timedelta(days=30)
OnlineKeys = Mapping[str, Mapping[str, Any]]


def new_key() -> CryptoSigner:
    """A fresh ed25519 key."""
    return CryptoSigner.generate_ed25519()


def in_(life: timedelta) -> datetime:
    """The time in `life` from now, to the second, as metadata has it."""
    return (datetime.now(UTC) + life).replace(microsecond=0)


def online_keys_of(snapshot: CryptoSigner, timestamp: CryptoSigner) -> dict[str, dict[str, Any]]:
    """What `GET trust/online-keys` answers for these keys."""
    return {
        role: {"keyid": signer.public_key.keyid, "key": signer.public_key.to_dict()}
        for role, signer in (("snapshot", snapshot), ("timestamp", timestamp))
    }


def signed_bytes(signed: Signed, signers: Iterable[CryptoSigner]) -> bytes:
    """The metadata file, signed by all of `signers`."""
    metadata: Metadata[Any] = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes(COMPACT)


@dataclass
class SignedLine:
    """One model line as its owner and publisher keep it: keys, and what they signed last.

    Attributes:
        root, targets: what was signed last; version 0 of targets stands for none.
    """

    model: str
    online: OnlineKeys
    root_keys: list[CryptoSigner] = field(default_factory=lambda: [new_key()])
    publishers: list[CryptoSigner] = field(default_factory=lambda: [new_key()])
    root: Root = field(init=False)
    targets: Targets = field(init=False)

    def __post_init__(self) -> None:
        self.root = Root(
            version=1,
            expires=in_(ROOT_LIFE),
            consistent_snapshot=True,
            unrecognized_fields={"model": self.model},
        )
        for role, keys in (("root", self.root_keys), ("targets", self.publishers)):
            for key in keys:
                self.root.add_key(key.public_key, role)
        self.name_online_keys(self.root, self.online)
        self.targets = Targets(version=1, expires=in_(TARGETS_LIFE), unrecognized_fields={"model": self.model})
        self.targets.version = 0

    @staticmethod
    def name_online_keys(root: Root, online: OnlineKeys) -> None:
        """Let these, and no others, be the keys of snapshot and timestamp."""
        for role in (Snapshot.type, Timestamp.type):
            for keyid in list(root.roles[role].keyids):
                root.revoke_key(keyid, role)
            named = online[role]
            root.add_key(Key.from_dict(named["keyid"], copy.deepcopy(dict(named["key"]))), role)

    def root_bytes(self) -> bytes:
        """The newest root, signed by its keys."""
        return signed_bytes(self.root, self.root_keys)

    def next_root(
        self, change: Callable[[Root], None] | None = None, *, root_keys: list[CryptoSigner] | None = None
    ) -> bytes:
        """Sign the next root with what `change` does to it; by the last root's keys, and by `root_keys` if they are new."""
        root = copy.deepcopy(self.root)
        root.version += 1
        root.expires = in_(ROOT_LIFE)
        if root_keys is not None:
            for keyid in list(root.roles["root"].keyids):
                root.revoke_key(keyid, "root")
            for key in root_keys:
                root.add_key(key.public_key, "root")
        if change is not None:
            change(root)
        signers = {key.public_key.keyid: key for key in [*self.root_keys, *(root_keys or [])]}
        self.root, self.root_keys = root, root_keys or self.root_keys
        return signed_bytes(root, signers.values())

    def next_targets(
        self,
        targets: Iterable[TargetFile] | None = None,
        *,
        life: timedelta = TARGETS_LIFE,
        publishers: list[CryptoSigner] | None = None,
    ) -> bytes:
        """Sign the next targets metadata; with the targets that there are, unless told."""
        signed = copy.deepcopy(self.targets)
        signed.version += 1
        signed.expires = in_(life)
        if targets is not None:
            signed.targets = {target.path: target for target in targets}
        self.targets = signed
        return signed_bytes(signed, publishers or self.publishers)


def make_target(
    model: str,
    version: str,
    variant: str,
    content: bytes,
    *,
    contract: bytes,
    sample_set: bytes | None = None,
    tolerances: Mapping[str, str] | None = None,
    **custom: Any,
) -> TargetFile:
    """A target as a publisher describes it, from the bytes; `custom` are `limits`, `device_classes`, `downgrade`."""
    facts = {"model": model, "version": version, "variant": variant, "contract": _file(contract)}
    if sample_set is not None:
        facts["sample_set"] = _file(sample_set)
    if tolerances:
        facts["tolerances"] = dict(tolerances)
    return TargetFile(
        len(content),
        {"sha256": hashlib.sha256(content).hexdigest()},
        f"{version}/{variant}",
        {"custom": facts | custom},
    )


def _file(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}


# --- Database: what is in the registry, signed and accepted -----------------------------------------------------------------------------


def target_of(variant: "Variant", **custom: Any) -> TargetFile:
    """A target that agrees with what the registry knows of the variant."""
    version = variant.version
    facts: dict[str, Any] = {
        "model": version.model_line.name,
        "version": version.version,
        "variant": variant.name,
        "contract": {"sha256": version.contract.sha256, "size_bytes": version.contract.size_bytes},
    }
    if version.sample_set is not None:
        facts["sample_set"] = {"sha256": version.sample_set.sha256, "size_bytes": version.sample_set.size_bytes}
    tolerances = {name: repr(value) for name, value in variant.tolerances.items() if value is not None}
    if tolerances:
        facts["tolerances"] = tolerances
    return TargetFile(
        variant.artifact.size_bytes,
        {"sha256": variant.artifact.sha256},
        f"{version.version}/{variant.name}",
        {"custom": facts | custom},
    )


def trust_line(line: "ModelLine", *variants: "Variant") -> SignedLine:
    """Give the line a root and, signed by its publisher, these targets; through the services."""
    from access.actors import SYSTEM
    from registry.trust.keys import online_keys
    from registry.trust.services import accept_root, accept_targets

    signed = SignedLine(line.name, online_keys().public())
    accept_root(actor=SYSTEM, model_line=line, version=1, content=signed.root_bytes())
    content = signed.next_targets(target_of(variant) for variant in variants)
    accept_targets(actor=SYSTEM, model_line=line, version=1, content=content)
    return signed
