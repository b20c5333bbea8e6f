"""A really signed model line for a stand-in server: the offline keys of its owner and publisher, and the server's online keys."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import MetaFile, Root, Snapshot, TargetFile, Timestamp

from tests.factories.trust import SignedLine, in_, new_key, online_keys_of, signed_bytes

SNAPSHOT_LIFE, TIMESTAMP_LIFE = timedelta(days=30), timedelta(days=7)


@dataclass
class Repository:
    """One line's metadata as a server has it, with every key in one place, so that tests can play each thief.

    `roots` are the texts of all root files, `targets` the text of the newest targets file.
    """

    model: str
    snapshot_key: CryptoSigner = field(default_factory=new_key)
    timestamp_key: CryptoSigner = field(default_factory=new_key)
    signed: SignedLine = field(init=False)
    roots: list[str] = field(default_factory=list)
    targets: str = ""
    snapshot: str = ""
    timestamp: str = ""
    versions: dict[str, int] = field(default_factory=lambda: {"snapshot": 0, "timestamp": 0})

    def __post_init__(self) -> None:
        self.signed = SignedLine(self.model, self.online())
        self.roots.append(self.signed.root_bytes().decode())
        self.sign_targets()

    def online(self) -> Mapping[str, Mapping[str, Any]]:
        return online_keys_of(self.snapshot_key, self.timestamp_key)

    def publish(self, *targets: TargetFile, **options: Any) -> None:
        """Add targets, or replace those of the same name, and sign everything anew."""
        live = {**self.signed.targets.targets, **{target.path: target for target in targets}}
        self.sign_targets(list(live.values()), **options)

    def remove(self, path: str) -> None:
        """Yank: sign the targets without this one."""
        live = {name: target for name, target in self.signed.targets.targets.items() if name != path}
        self.sign_targets(list(live.values()))

    def sign_targets(self, targets: list[TargetFile] | None = None, **options: Any) -> None:
        """Sign the next targets metadata, then snapshot and timestamp over it."""
        self.targets = self.signed.next_targets(targets, **options).decode()
        self.sign_snapshot()

    def sign_snapshot(self, life: timedelta = SNAPSHOT_LIFE, *, targets: int | None = None) -> None:
        """Sign the next snapshot, of the newest targets unless told, and a timestamp over it."""
        self.versions["snapshot"] += 1
        meta = {"targets.json": MetaFile(version=targets or self.signed.targets.version)}
        snapshot = Snapshot(version=self.versions["snapshot"], expires=in_(life), meta=meta)
        self.snapshot = signed_bytes(snapshot, [self.snapshot_key]).decode()
        self.sign_timestamp()

    def sign_timestamp(self, life: timedelta = TIMESTAMP_LIFE) -> None:
        """Sign the next timestamp."""
        self.versions["timestamp"] += 1
        meta = MetaFile(version=self.versions["snapshot"])
        timestamp = Timestamp(version=self.versions["timestamp"], expires=in_(life), snapshot_meta=meta)
        self.timestamp = signed_bytes(timestamp, [self.timestamp_key]).decode()

    def rotate(self, change: Callable[[Root], None] | None = None, **options: Any) -> None:
        """Sign the next root; snapshot and timestamp follow, since their keys may be others."""
        self.roots.append(self.signed.next_root(change, **options).decode())
        self.sign_snapshot()

    def new_online_keys(self) -> None:
        """What follows the theft of a server: other online keys, in a new root."""
        self.snapshot_key, self.timestamp_key = new_key(), new_key()
        self.rotate(lambda root: SignedLine.name_online_keys(root, self.online()))

    def versioned(self, entry: dict[str, Any]) -> dict[str, Any]:
        """An entry of a poll answer with the version of the newest targets, unless it says one."""
        return {"targets_version": self.signed.targets.version, **entry}

    def news(self, *, root: int = 0, timestamp: int = 0, snapshot: int = 0, targets: int = 0) -> dict[str, Any]:
        """What is newer than these versions."""
        held = {"timestamp": timestamp, "snapshot": snapshot, "targets": targets}
        texts = {"timestamp": self.timestamp, "snapshot": self.snapshot, "targets": self.targets}
        newer = {role: text for role, text in texts.items() if json.loads(text)["signed"]["version"] != held[role]}
        return {"roots": self.roots[root:], **newer}


def signed_target(model: str, target: Mapping[str, Any], **custom: Any) -> TargetFile:
    """A target of the signed metadata for one that a poll answer names."""
    facts: dict[str, Any] = {
        "model": model,
        "version": target["version"],
        "variant": target["variant"],
        "contract": target["contract"],
    }
    if target["sample_set"] is not None:
        facts["sample_set"] = target["sample_set"]
    facts["tolerances"] = {name: repr(value) for name, value in target["tolerances"].items() if value is not None}
    path = f"{target['version']}/{target['variant']}"
    return TargetFile(target["size_bytes"], {"sha256": target["sha256"]}, path, {"custom": facts | custom})
