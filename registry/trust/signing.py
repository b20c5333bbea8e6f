"""Metadata files as the server signs them: compact JSON, and versions without digests, which signatures make needless."""

from datetime import datetime
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp
from tuf.api.serialization.json import JSONSerializer

_COMPACT = JSONSerializer(compact=True)


def sign_snapshot(
    key: CryptoSigner, *, version: int, targets_version: int, expires_at: datetime
) -> tuple[Snapshot, bytes]:
    """Which targets metadata is the newest. `expires_at` is aware and cut to whole seconds."""
    meta = {"targets.json": MetaFile(targets_version)}
    snapshot = Snapshot(version=version, expires=_whole(expires_at), meta=meta)
    return snapshot, _signed(snapshot, key)


def sign_timestamp(
    key: CryptoSigner, *, version: int, snapshot_version: int, expires_at: datetime
) -> tuple[Timestamp, bytes]:
    """Which snapshot is the newest. `expires_at` is aware and cut to whole seconds."""
    timestamp = Timestamp(version=version, expires=_whole(expires_at), snapshot_meta=MetaFile(snapshot_version))
    return timestamp, _signed(timestamp, key)


def _signed(signed: Snapshot | Timestamp, key: CryptoSigner) -> bytes:
    metadata: Metadata[Any] = Metadata(signed)
    metadata.sign(key)
    return metadata.to_bytes(_COMPACT)


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
