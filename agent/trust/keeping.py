"""The trust of one model line on disk: one JSON document, replaced in one step, so that a crash leaves the old one or the new.

It holds the metadata files themselves, which the next check builds on, and what they said, which the daemon decides by. A newer
root without the rest is kept too; then nothing is verified until the rest follows.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from agent import disk, wire
from agent.clock import Instant
from agent.errors import WireInvalid
from agent.layout import Layout
from agent.trust import verified
from agent.trust.files import ROLES, ROOT
from agent.trust.verified import Floor, Verified, Versions

SCHEMA = "smallfleet-trust/1"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a device trusts of one line. `pin` is the digest of the root that it was first told to trust."""

    pin: str
    files: Mapping[str, str] = field(repr=False)
    says: Verified | None = None
    floor: Floor | None = None

    @property
    def root_sha256(self) -> str:
        """The digest of the newest root."""
        return hashlib.sha256(self.files[ROOT].encode()).hexdigest()

    @property
    def versions(self) -> Versions:
        """What need not be asked for; where nothing is verified as a whole, the roots alone."""
        return self.root_only if self.says is None else self.says.versions

    @property
    def root_only(self) -> Versions:
        """The version of the newest root."""
        document: Any = wire.parse_json(self.files[ROOT].encode(), "the trusted root")
        return Versions(root=document["signed"]["version"])


def read(layout: Layout, model: str) -> Kept | None:
    """The trust of a line; `None` when there is none yet, or its document is damaged, which the log tells."""
    path = layout.metadata(model)
    try:
        return _parse(wire.parse_json(path.read_bytes(), path.name))
    except FileNotFoundError:
        return None
    except WireInvalid as error:
        log.warning("trust_damaged", extra={"model": model, "why": str(error)})
        return None


def write(layout: Layout, model: str, kept: Kept) -> None:
    """Replace the trust of a line.

    Raises:
        OSError: the disk refused; the old trust stands.
    """
    document = {
        "schema": SCHEMA,
        "pin": kept.pin,
        "files": dict(kept.files),
        "says": None if kept.says is None else _says_document(kept.says),
        "floor": None if kept.floor is None else _floor_document(kept.floor),
    }
    disk.replace_file(layout.metadata(model), json.dumps(document).encode())


def parse_files(document: object) -> dict[str, str]:
    """Narrow a value to the texts of metadata files by role.

    Raises:
        WireInvalid: it is something else.
    """
    if not isinstance(document, dict):
        raise WireInvalid("metadata must be an object")
    files: dict[str, Any] = {role: document[role] for role in ROLES if document.get(role) is not None}
    if not all(isinstance(text, str) for text in files.values()):
        raise WireInvalid("metadata must be texts")
    return files


def _says_document(says: Verified) -> dict[str, Any]:
    return {
        "versions": asdict(says.versions),
        "expires_at": says.expires_at.isoformat(),
        "online_expires_at": says.online_expires_at.isoformat(),
        "accepted_at": says.accepted_at.isoformat(),
        "targets": [asdict(target) for target in says.targets],
    }


def _floor_document(floor: Floor) -> dict[str, Any]:
    return {"at": floor.at.isoformat(), "moment": asdict(floor.moment)}


def _parse(document: object) -> Kept:
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise WireInvalid(f"the schema must be {SCHEMA}")
    files, says, floor = parse_files(document.get("files")), document.get("says"), document.get("floor")
    if ROOT not in files:
        raise WireInvalid("there is no root")
    try:
        return Kept(
            pin=wire.parse_sha256(document.get("pin")),
            files=MappingProxyType(files),
            says=None if says is None else verified.parse(says, accepted_at=verified.parse_time(says["accepted_at"])),
            floor=None if floor is None else Floor(verified.parse_time(floor["at"]), Instant(**floor["moment"])),
        )
    except (KeyError, TypeError) as error:
        raise WireInvalid(f"a field is missing or wrong: {error!r}") from error
