"""What a thief of the server holds: its database, its store and its online keys, read without anybody's help; and what they can be made into.

Everything here is read from files, never asked of a running server. What the thief signs beyond the online keys is signed with keys of its own,
or with a publisher's key where an attack says that this was stolen too.
"""

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import onnx
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from tests.factories.trust import signed_bytes

LINE = "digits"
LONG = timedelta(days=3650)


@dataclass(slots=True)
class Files:
    """The newest metadata of a line as the thief gives it out; `roots` by version."""

    roots: dict[int, bytes]
    timestamp: bytes
    snapshot: bytes
    targets: bytes


@dataclass(slots=True)
class Thief:
    """Reads the stolen `home` of a server, and forges.

    Attributes:
        home: SMALLFLEET_HOME of the server that was stolen.
        snapshot_key, timestamp_key: its online keys.
        own_key: a key of the thief's, which nobody trusts.
    """

    home: Path
    database: sqlite3.Connection = field(init=False)
    snapshot_key: CryptoSigner = field(init=False)
    timestamp_key: CryptoSigner = field(init=False)
    own_key: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)

    def __post_init__(self) -> None:
        self.database = sqlite3.connect(f"file:{self.home / 'smallfleet.sqlite3'}?mode=ro", uri=True)
        self.database.row_factory = sqlite3.Row
        self.snapshot_key = read_key(self.home / "keys" / "snapshot.pem")
        self.timestamp_key = read_key(self.home / "keys" / "timestamp.pem")

    # --- What is there -------------------------------------------------------------------------------------------------------------------

    def rows(self, query: str, *arguments: Any) -> list[sqlite3.Row]:
        """Rows of the stolen database."""
        return self.database.execute(query, arguments).fetchall()

    def metadata(self, role: str, version: int | None = None, *, model: str = LINE) -> bytes:
        """A metadata file as it was signed: of a version, or the newest."""
        (row,) = self.rows(
            "SELECT file.content FROM registry_metadatafile file JOIN registry_modelline line ON line.id = file.model_line_id "
            "WHERE line.name = ? AND file.role = ? AND (file.version = ? OR (? IS NULL AND file.superseded_at IS NULL))",
            *(model, role, version, version),
        )
        return str(row["content"]).encode()

    def files(self, *, model: str = LINE) -> Files:
        """The newest of everything: what the honest server would give out."""
        roots = self.rows(
            "SELECT file.version, file.content FROM registry_metadatafile file JOIN registry_modelline line "
            "ON line.id = file.model_line_id WHERE line.name = ? AND file.role = 'root' ORDER BY file.version",
            model,
        )
        newest = (self.metadata(role, model=model) for role in ("timestamp", "snapshot", "targets"))
        return Files({int(row["version"]): str(row["content"]).encode() for row in roots}, *newest)

    def live(self, *, model: str = LINE) -> dict[str, TargetFile]:
        """The targets of the newest signed list, by path."""
        return dict(Metadata[Targets].from_bytes(self.metadata("targets", model=model)).signed.targets)

    def artifact(self, sha256: str) -> bytes:
        """Bytes of the store."""
        return (self.home / "store" / "sha256" / sha256[:2] / sha256[2:4] / sha256).read_bytes()

    def variant(self, version: str, name: str, *, model: str = LINE) -> dict[str, Any]:
        """What the registry knows of a variant: the `target` of a poll answer."""
        (row,) = self.rows(
            "SELECT artifact.sha256, artifact.size_bytes, variant.tolerances, contract.sha256 AS contract, contract.size_bytes AS "
            "contract_bytes, samples.sha256 AS samples, samples.size_bytes AS samples_bytes FROM registry_variant variant "
            "JOIN registry_version version ON version.id = variant.version_id JOIN registry_modelline line ON line.id = version.model_line_id "
            "JOIN registry_artifact artifact ON artifact.id = variant.artifact_id JOIN registry_artifact contract "
            "ON contract.id = version.contract_id JOIN registry_artifact samples ON samples.id = version.sample_set_id "
            "WHERE line.name = ? AND version.version = ? AND variant.name = ?",
            *(model, version, name),
        )
        return {
            "version": version,
            "variant": name,
            "sha256": row["sha256"],
            "size_bytes": row["size_bytes"],
            "contract": {"sha256": row["contract"], "size_bytes": row["contract_bytes"]},
            "sample_set": {"sha256": row["samples"], "size_bytes": row["samples_bytes"]},
            "tolerances": json.loads(row["tolerances"]),
        }

    # --- What can be made of it ------------------------------------------------------------------------------------------------------------

    def snapshot(self, version: int, targets_version: int, *, life: timedelta = LONG) -> bytes:
        """A snapshot, rightly signed with the stolen key."""
        meta = {"targets.json": MetaFile(targets_version)}
        return signed_bytes(Snapshot(version=version, expires=until(life), meta=meta), [self.snapshot_key])

    def timestamp(self, version: int, snapshot_version: int, *, life: timedelta = LONG) -> bytes:
        """A timestamp, rightly signed with the stolen key."""
        signed = Timestamp(version=version, expires=until(life), snapshot_meta=MetaFile(snapshot_version))
        return signed_bytes(signed, [self.timestamp_key])

    def around(
        self, targets: bytes, *, ahead: int = 1, roots: dict[int, bytes] | None = None, model: str = LINE
    ) -> Files:
        """These targets below a snapshot and a timestamp that are newer than all that a device has seen."""
        files = self.files(model=model)
        snapshot = version_of(files.snapshot) + ahead
        return Files(
            files.roots | (roots or {}),
            self.timestamp(version_of(files.timestamp) + ahead, snapshot),
            self.snapshot(snapshot, version_of(targets)),
            targets,
        )

    def targets(
        self,
        targets: Iterable[TargetFile],
        *,
        signers: Iterable[CryptoSigner],
        version: int | None = None,
        life: timedelta = timedelta(days=30),
    ) -> bytes:
        """Targets metadata, by default the version after the newest, signed by whoever."""
        version = version or version_of(self.metadata("targets")) + 1
        signed = Targets(version=version, expires=until(life), targets={target.path: target for target in targets})
        return signed_bytes(signed, signers)

    def newest_root(self, *, model: str = LINE) -> Root:
        """The signed part of the newest root, to build another on."""
        roots = self.files(model=model).roots
        return Metadata[Root].from_bytes(roots[max(roots)]).signed


def read_key(path: Path) -> CryptoSigner:
    """An unencrypted private key in PEM."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return CryptoSigner(load_pem_private_key(path.read_bytes(), password=None))


def until(life: timedelta) -> datetime:
    """The time in `life` from now, to the second."""
    return (datetime.now(UTC) + life).replace(microsecond=0)


def version_of(content: bytes) -> int:
    """The version that a metadata file says."""
    return int(json.loads(content)["signed"]["version"])


def altered(model: bytes, mark: str) -> bytes:
    """The same network with another digest: it loads, and passes every golden output, so that a signature alone can tell."""
    loaded = onnx.load_from_string(model)
    loaded.doc_string = mark
    serialised: bytes = loaded.SerializeToString()
    return serialised


def digest(content: bytes) -> str:
    """Lower-case hex sha256."""
    return hashlib.sha256(content).hexdigest()


def entry_for(
    target: dict[str, Any], *, targets_version: int, ways: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """One entry of a poll answer that asks for a target."""
    raw = {"way": "raw", "sha256": target["sha256"], "size_bytes": target["size_bytes"]}
    return {
        "model": LINE,
        "action": "install",
        "rollout": str(uuid.uuid5(uuid.NAMESPACE_OID, target["sha256"])),
        "target": target,
        "ways": [*(ways or []), raw],
        "policy": {"delta_pending": False, "wait_for_delta_s": 0},
        "targets_version": targets_version,
    }
