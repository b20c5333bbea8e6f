"""A model line whose trust was set up without a server: keys and a root in a trust folder, and what a server would show of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Timestamp

from client.trust.documents import COMPACT, SignedRoot, SignedTargets, first_root, sign_targets
from client.trust.folder import LineFolder
from client.trust.keys import KeyRole, make_key
from client.trust.live import Targets

MODEL = "digits"


@dataclass
class Trusted:
    """The line's folder, its keys, and its newest root and list."""

    folder: LineFolder
    root_key: CryptoSigner
    publisher: CryptoSigner
    online: dict[str, CryptoSigner]
    root: SignedRoot
    targets: SignedTargets

    def sign(self, targets: Targets, *, version: int | None = None, ago: timedelta = timedelta(0)) -> SignedTargets:
        """The next list, signed `ago`."""
        number = self.targets.version + 1 if version is None else version
        now = datetime.now(UTC) - ago
        self.targets = sign_targets(targets, version=number, model=MODEL, signer=self.publisher, now=now)
        return self.targets

    def news(self) -> dict[str, object]:
        """What `GET metadata/news` answers to somebody who has root 1."""
        return {"roots": [], **self._below_root()}

    def all_news(self) -> dict[str, object]:
        """What it answers to somebody who has nothing."""
        return {"roots": [self.root.content.decode()], **self._below_root()}

    def _below_root(self) -> dict[str, str]:
        end = (datetime.now(UTC) + timedelta(days=7)).replace(microsecond=0)
        version = self.targets.version
        snapshot = Metadata(Snapshot(version=version, expires=end, meta={"targets.json": MetaFile(version)}))
        snapshot.sign(self.online["snapshot"])
        timestamp = Metadata(Timestamp(version=version, expires=end, snapshot_meta=MetaFile(version)))
        timestamp.sign(self.online["timestamp"])
        return {
            "timestamp": timestamp.to_bytes(COMPACT).decode(),
            "snapshot": snapshot.to_bytes(COMPACT).decode(),
            "targets": self.targets.content.decode(),
        }


def make_trusted(base: Path) -> Trusted:
    """A fresh line with an empty list, its folder below `base`."""
    folder = LineFolder.of(base, MODEL)
    folder.make()
    root_key = make_key(folder.root_key, KeyRole.ROOT, ask=False)
    publisher = make_key(folder.publisher_key, KeyRole.PUBLISHER, ask=False)
    online = {role: CryptoSigner.generate_ed25519() for role in ("snapshot", "timestamp")}
    public = {role: signer.public_key for role, signer in online.items()}
    now = datetime.now(UTC)
    root = first_root(MODEL, root=root_key, publisher=publisher.public_key, online=public, now=now)
    folder.keep_root(root)
    empty: dict[str, TargetFile] = {}
    targets = sign_targets(empty, version=1, model=MODEL, signer=publisher, now=now)
    return Trusted(folder, root_key, publisher, online, root, targets)
