"""The child that checks signed metadata: `python -m agent.trust.child`. python-tuf's client does the checking; there is no network here.

It reads a question (`question.json`: what this device trusts so far) and the news from the server (`news.json`) from its working folder,
and lays what it verified beside them (`verified.json`: the files by role, and in `says` what they say). Its answer is one JSON line on
stdout: `{"error": slug|null, "detail": text, "root": bool}`; `root` tells that a newer root was verified, which is kept even where nothing
else is well: a root that takes a stolen key away must not be forgotten.

Who gave the news is not trusted, and neither is this process: it holds no credential, is limited and shut in (`benchmarks.sandbox`: no
network, no other process, no file but its folder's where the kernel has Landlock) before it looks at the news, and its answer is read as
strictly as the wire. A kernel that cannot shut it in does not keep a device from its metadata: what reads it is memory-safe code.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.trust.files import (
    MAX_TARGETS,
    NEWS_FILE,
    QUESTION_FILE,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    VERIFIED_FILE,
    VERIFIED_FILE_BYTES,
)
from benchmarks.confine import confine
from benchmarks.sandbox import keep_paths

if TYPE_CHECKING:
    from tuf.api.metadata import Root, Snapshot, TargetFile, Targets, Timestamp

MIB = 1 << 20
# Python, python-tuf and OpenSSL take 40 MiB of data; all that is read is bounded below.
MEMORY_LIMIT_MIB = 256
CPU_S = 60
# 32 targets of the longest names take 40 kB; a root of ten keys takes 4 kB.
MAX_TARGETS_BYTES, MAX_ROOT_BYTES, MAX_SMALL_BYTES = 256 << 10, 64 << 10, 16 << 10
MAX_ROOTS = 64
MAX_DETAIL = 300


class NotBelieved(Exception):
    """What the signatures allow and this product does not. `slug` says what it is."""

    def __init__(self, slug: str, detail: str) -> None:
        self.slug = slug
        super().__init__(detail)


def main(arguments: list[str] | None = None) -> int:
    """Limit this process, check the news, print the answer."""
    parser = argparse.ArgumentParser(prog="agent.trust.child")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--nice", type=int, required=True)
    options = parser.parse_args(arguments)
    confine(
        parent_pid=os.getppid(),
        nice=options.nice,
        cpu_s=CPU_S,
        file_bytes=VERIFIED_FILE_BYTES,
        data_bytes=MEMORY_LIMIT_MIB * MIB,
        open_files=64,
    )
    # What is imported later, and files in its own folder, are all that is left to it.
    tempfile.tempdir = str(options.folder)
    keep_paths(readable=(), writable=(options.folder,), required=False)
    sys.stdout.write(json.dumps(check(options.folder)) + "\n")
    return 0


def check(folder: Path) -> dict[str, Any]:
    """Check the news in a folder; the answer of this process."""
    from tuf.api.exceptions import DownloadError, RepositoryError

    checking = Checking(folder)
    error, detail, verified = None, "", None
    try:
        verified = checking.verify()
    except NotBelieved as refused:
        error, detail = refused.slug, str(refused)
    except (RepositoryError, DownloadError) as refused:
        error, detail = _slug(refused), str(refused)
    except (KeyError, TypeError, ValueError, RecursionError) as refused:
        error, detail = "malformed", repr(refused)
    kept = checking.kept(whole=verified is not None)
    if kept:
        (folder / VERIFIED_FILE).write_text(json.dumps({**kept, "says": verified}))
    return {"error": error, "detail": detail[:MAX_DETAIL], "root": ROOT in kept}


def _slug(error: Exception) -> str:
    from tuf.api import exceptions

    kinds = {
        exceptions.ExpiredMetadataError: "expired",
        exceptions.BadVersionNumberError: "older",
        exceptions.UnsignedMetadataError: "unsigned",
        exceptions.DownloadHTTPError: "incomplete",
        exceptions.DownloadLengthMismatchError: "too-long",
    }
    return next((slug for kind, slug in kinds.items() if isinstance(error, kind)), "invalid")


class Checking:
    """One run of the TUF client on what is in a folder."""

    def __init__(self, folder: Path) -> None:
        self._question: dict[str, Any] = json.loads((folder / QUESTION_FILE).read_bytes())
        self._news_bytes = (folder / NEWS_FILE).read_bytes()
        self._metadata = folder / "metadata"
        self._trusted_root: bytes | None = None

    def verify(self) -> dict[str, Any]:
        """Bring the trusted metadata up to the news; what it says then.

        Raises:
            NotBelieved: it is not about this line, or not what this product signs.
            RepositoryError, DownloadError: python-tuf refuses it.
            KeyError, TypeError, ValueError: it is nothing that could be read.
        """
        from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
        from tuf.ngclient import Updater, UpdaterConfig

        news = _texts_of(self._news_bytes)
        self._trusted_root = self._first_root(news)
        self._metadata.mkdir()
        for role in (TIMESTAMP, SNAPSHOT, TARGETS):
            if self._question[role] is not None:
                (self._metadata / f"{role}.json").write_text(self._question[role])
        config = UpdaterConfig(
            max_root_rotations=MAX_ROOTS,
            root_max_length=MAX_ROOT_BYTES,
            timestamp_max_length=MAX_SMALL_BYTES,
            snapshot_max_length=MAX_SMALL_BYTES,
            targets_max_length=MAX_TARGETS_BYTES,
        )
        received = _received(news, timestamp=self._question[TIMESTAMP])
        updater = Updater(
            str(self._metadata), "received:", fetcher=received, config=config, bootstrap=self._trusted_root
        )
        updater.refresh()
        root = Metadata[Root].from_file(str(self._metadata / "root.json")).signed
        timestamp = Metadata[Timestamp].from_file(str(self._metadata / "timestamp.json")).signed
        snapshot = Metadata[Snapshot].from_file(str(self._metadata / "snapshot.json")).signed
        targets = Metadata[Targets].from_file(str(self._metadata / "targets.json")).signed
        self._check_line(root, targets)
        return _said(root, timestamp, snapshot, targets)

    def kept(self, *, whole: bool) -> dict[str, str]:
        """The files' texts that are worth keeping: all of them, or a newer root alone, or none."""
        root = self._metadata / "root.json"
        if not root.exists() or (not whole and root.read_bytes() == (self._question[ROOT] or "").encode()):
            return {}
        if not whole and not self._is_of_this_line(root.read_bytes()):
            return {}
        roles = (ROOT, TIMESTAMP, SNAPSHOT, TARGETS) if whole else (ROOT,)
        return {role: (self._metadata / f"{role}.json").read_text() for role in roles}

    def _first_root(self, news: "_Texts") -> bytes:
        """The root that the checking begins with: the trusted one, or the one whose digest is the pin."""
        if self._question[ROOT] is not None:
            return str(self._question[ROOT]).encode()
        pin = self._question["pin"]
        found = next((text for text in news.roots.values() if hashlib.sha256(text.encode()).hexdigest() == pin), None)
        if found is None:
            raise NotBelieved("pin-unmatched", f"none of {len(news.roots)} roots has the digest {pin}")
        return found.encode()

    def _check_line(self, root: "Root", targets: "Targets") -> None:
        """A publisher of one line must not pass for another's, whatever keys they share."""
        wanted = self._question["model"]
        named = root.unrecognized_fields.get("model")
        if named != wanted:
            raise NotBelieved("wrong-line", f"the root is of the line {named!r}, not of {wanted!r}")
        if targets.delegations is not None:
            raise NotBelieved("delegation", "the targets delegate, which no line of this product does")
        if len(targets.targets) > MAX_TARGETS:
            raise NotBelieved("too-many", f"{len(targets.targets)} targets, at most {MAX_TARGETS} may be live")
        for path, target in targets.targets.items():
            custom = target.custom or {}
            if custom["model"] != wanted:
                raise NotBelieved("wrong-line", f"{path} is of the line {custom['model']!r}, not of {wanted!r}")
            if path != f"{custom['version']}/{custom['variant']}":
                raise NotBelieved("wrong-path", f"{path} calls itself {custom['version']}/{custom['variant']}")

    def _is_of_this_line(self, root: bytes) -> bool:
        return bool(json.loads(root)["signed"].get("model") == self._question["model"])


class _Texts:
    """The files that a news document brings; roots by their version."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        listed = document.get("roots", [])
        if not isinstance(listed, list) or len(listed) > MAX_ROOTS:
            raise NotBelieved("malformed", f"roots must be a list of at most {MAX_ROOTS}")
        self.roots = {int(json.loads(text)["signed"]["version"]): str(text) for text in listed}
        self.others = {role: _text(document, role) for role in (TIMESTAMP, SNAPSHOT, TARGETS)}


def _text(document: Mapping[str, Any], role: str) -> str | None:
    text = document.get(role)
    if text is not None and not isinstance(text, str):
        raise NotBelieved("malformed", f"{role} must be the text of a file")
    return text


def _texts_of(content: bytes) -> _Texts:
    document = json.loads(content)
    if not isinstance(document, dict):
        raise NotBelieved("malformed", "the news must be an object")
    return _Texts(document)


def _received(news: _Texts, *, timestamp: str | None) -> Any:
    """A fetcher that has what the news brought, and nothing else: every other file is a 404 to the client."""
    from tuf.api.exceptions import DownloadHTTPError
    from tuf.ngclient import FetcherInterface

    def find(name: str) -> str | None:
        version, _, role = name.removesuffix(".json").rpartition(".")
        if role == ROOT:
            return news.roots.get(int(version))
        # Not newer than what is trusted is not sent again; the client asks for the timestamp all the same.
        return news.others.get(role) or (timestamp if role == TIMESTAMP else None)

    class Received(FetcherInterface):
        """Files that are here already."""

        def _fetch(self, url: str) -> Iterator[bytes]:
            name = url.rpartition("/")[2]
            text = find(name)
            if text is None:
                raise DownloadHTTPError(f"the news has no {name}", 404)
            return iter((text.encode(),))

    return Received()


def _said(root: "Root", timestamp: "Timestamp", snapshot: "Snapshot", targets: "Targets") -> dict[str, Any]:
    return {
        "versions": {role.type: role.version for role in (root, timestamp, snapshot, targets)},
        "expires_at": _time(min(role.expires for role in (root, timestamp, snapshot, targets))),
        "online_expires_at": _time(min(timestamp.expires, snapshot.expires)),
        "targets": [_target(target) for target in targets.targets.values()],
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _target(target: "TargetFile") -> dict[str, Any]:
    """What a target says, as `agent.wire.parse_target` reads it. Canonical JSON has no fractions, so those are signed as text."""
    custom = target.custom or {}
    return {
        "version": custom["version"],
        "variant": custom["variant"],
        "sha256": target.hashes["sha256"],
        "size_bytes": target.length,
        "contract": custom["contract"],
        "sample_set": custom.get("sample_set"),
        "tolerances": {name: float(text) for name, text in custom.get("tolerances", {}).items()},
        "limits": custom.get("limits"),
        "device_classes": custom.get("device_classes"),
        "downgrade": custom.get("downgrade"),
    }


if __name__ == "__main__":
    sys.exit(main())
