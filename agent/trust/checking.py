"""Letting a child check the news of one line, and reading its answer. The child is in `agent/trust/child.py`."""

import json
import logging
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agent import children, disk, wire
from agent.errors import WireInvalid
from agent.trust import verified
from agent.trust.files import NEWS_FILE, QUESTION_FILE, ROLES, VERIFIED_FILE, VERIFIED_FILE_BYTES
from agent.trust.keeping import parse_files
from agent.trust.rules import EXPIRED, REFUSED, Denied
from agent.trust.verified import Verified

# 0.3 s on a PC, 3 s on a slow board.
TIMEOUT_S = 120.0
MAX_SLUG, MAX_DETAIL = 40, 300

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a child found: the texts of verified files by role, what they say, and why the news were refused.

    A root alone among the files is a newer one, verified by itself.
    """

    files: Mapping[str, str]
    says: Verified | None
    denied: Denied | None
    error: str | None = None


def check(
    folder: Path, model: str, trusted: Mapping[str, str], *, pin: str | None, news: bytes, at: datetime, nice: int
) -> Checked:
    """Check news on top of what is trusted. If power fails here, a folder is left that the next check removes.

    Args:
        folder: where the child may write; made and removed here.
        model: the line that the metadata must be of.
        trusted: the texts of the trusted files by role.
        pin: with no root among them, the digest of the one to begin with.
        news: what the server gave.
        at: the time at which it is found verified.
        nice: added to the child's niceness.

    Raises:
        OSError: the disk refused, or no child can be started.
    """
    disk.remove_tree(folder)
    disk.make_directories(folder)
    question = {"model": model, "pin": pin, **{role: trusted.get(role) for role in ROLES}}
    disk.replace_volatile(folder / QUESTION_FILE, json.dumps(question).encode())
    disk.replace_volatile(folder / NEWS_FILE, news)
    command = children.python_module("agent.trust.child", "--folder", str(folder), "--nice", str(nice))
    ended = children.run(command, timeout_s=TIMEOUT_S)
    try:
        found = _read(ended, folder, at=at)
    except WireInvalid as error:
        found = Checked({}, None, Denied(REFUSED, f"the check failed: {error}"), "crashed")
    disk.remove_tree(folder)
    if found.denied is not None:
        log.error("metadata_refused", extra={"model": model, "slug": found.error, "why": found.denied.detail})
    return found


def _read(ended: children.Ended, folder: Path, *, at: datetime) -> Checked:
    if ended.returncode != 0:
        raise WireInvalid(f"exit {ended.returncode}: {ended.stderr_end[-200:]}")
    answer = wire.parse_json(ended.stdout, "the check's answer")
    if not isinstance(answer, dict):
        raise WireInvalid("the check's answer must be an object")
    error = answer.get("error")
    left = _left(folder / VERIFIED_FILE) if answer.get("root") is True else {}
    files = parse_files(left)
    if error is not None:
        slug = str(error)[:MAX_SLUG]
        rule = EXPIRED if slug == "expired" else REFUSED
        return Checked(files, None, Denied(rule, f"{slug}: {str(answer.get('detail'))[:MAX_DETAIL]}"), slug)
    if set(files) != set(ROLES):
        raise WireInvalid(f"the check left {sorted(files)}, not all of the metadata")
    return Checked(files, verified.parse(left.get("says"), accepted_at=at), None)


def _left(path: Path) -> Mapping[str, Any]:
    """What the child, which has ended, left in a file. It may have left something else, which must neither stop nor lead the daemon."""
    try:
        found = path.lstat()
    except FileNotFoundError as error:
        raise WireInvalid(f"the check left no {path.name}") from error
    if not stat.S_ISREG(found.st_mode) or found.st_size > VERIFIED_FILE_BYTES:
        raise WireInvalid(f"{path.name} must be a file of at most {VERIFIED_FILE_BYTES} bytes")
    document = wire.parse_json(path.read_bytes(), path.name)
    if not isinstance(document, dict):
        raise WireInvalid(f"{path.name} must be an object")
    return document
