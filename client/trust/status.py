"""How a model line's trust stands, in words: who may sign, what is live, when what ends, and what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tuf.api.metadata import Root
from tuf.api.metadata import Targets as TargetsRole

from client.errors import Untrusted
from client.trust.documents import ONLINE_ROLES, SignedRoot, SignedTargets
from client.trust.keys import read_public_key, short
from client.trust.line import LineTrust, Shown, day

# The server renews these daily: with less than this left, it does not.
ONLINE_LEFT = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Status:
    """One line. `warnings` are sentences that say what to do; none where all is well."""

    model: str
    shown: Shown
    targets: SignedTargets | None
    here: str | None
    now: datetime
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        root = self.shown.root
        document: dict[str, Any] = {
            "model": self.model,
            "root": {
                "version": root.version,
                "expires_at": root.expires_at.isoformat(),
                "sha256": root.sha256,
                "keyids": root.keyids(Root.type),
                "publishers": root.keyids(TargetsRole.type),
            },
            "targets": None,
            "warnings": list(self.warnings),
        }
        if self.targets:
            document["targets"] = {
                "version": self.targets.version,
                "expires_at": self.targets.expires_at.isoformat(),
                "signed_by": list(self.targets.keyids),
                "live": [
                    {
                        "path": path,
                        "sha256": target.hashes["sha256"],
                        "size_bytes": target.length,
                        "custom": target.custom,
                    }
                    for path, target in sorted(self.targets.targets.items())
                ],
            }
        for role, (version, ends) in self.shown.online.items():
            document[role] = {"version": version, "expires_at": ends.isoformat()}
        return document

    def as_text(self) -> str:
        """The same for people."""
        return "\n".join(
            [self.model, *(f"  {line}" for line in self._lines()), *(f"  ! {text}" for text in self.warnings)]
        )

    def _lines(self) -> Iterator[str]:
        root = self.shown.root
        yield f"root {root.version:<10} {self._end(root.expires_at)}; its digest is {root.sha256}"
        yield f"{'':15} root key {', '.join(map(short, root.keyids(Root.type)))}"
        yield f"{'':15} publishers {', '.join(self._key(keyid) for keyid in root.keyids(TargetsRole.type))}"
        if self.targets:
            live = self.targets.targets
            yield f"list {self.targets.version:<10} {self._end(self.targets.expires_at)}; signed by {', '.join(map(short, self.targets.keyids))}"
            yield f"{'':15} {len(live)} live" + (f": {', '.join(sorted(live))}" if live else "")
        for role, (version, ends) in self.shown.online.items():
            yield f"{role} {version:<{14 - len(role)}} {self._end(ends)}; the server renews it"

    def _key(self, keyid: str) -> str:
        return f"{short(keyid)} (publisher.pub here)" if keyid == self.here else short(keyid)

    def _end(self, ends: datetime) -> str:
        left = ends - self.now
        return (
            f"ends {day(ends)}, in {left / timedelta(days=1):.0f} days" if left > timedelta(0) else f"ENDED {day(ends)}"
        )


def look_at(line: LineTrust, *, warn: timedelta) -> Status:
    """How a line stands, as the server shows it and as the folder can check it; warns of what ends in less than `warn`.

    Raises:
        Untrusted, ConfigError: there is no root to check anything against, or no trust on this server.
    """
    shown = line.shown()
    warnings: list[str] = []
    targets = None
    try:
        targets = line.targets_of(shown)
    except Untrusted as error:
        warnings.append(str(error))
    else:
        warnings += _about_targets(line, targets, warn)
    warnings += _about_root(line, shown.root, warn)
    warnings += _about_online(line, shown, warn)
    public = line.folder.publisher_key.with_suffix(".pub")
    here = read_public_key(public).keyid if public.exists() else None
    return Status(line.model, shown, targets, here, line.now(), tuple(warnings))


def _about_root(line: LineTrust, root: SignedRoot, warn: timedelta) -> Iterator[str]:
    if root.expires_at - line.now() < warn:
        yield f"{_ends('the root', root.expires_at, line.now())}: bring the root key and run `smallfleet trust renew {line.model} --root`"


def _about_targets(line: LineTrust, targets: SignedTargets | None, warn: timedelta) -> Iterator[str]:
    if targets is None:
        yield f"there is no list yet: the publisher signs the first one with `smallfleet trust renew {line.model}`"
    elif targets.signed.is_expired(line.now()):
        yield (
            f"{_ends('the list', targets.expires_at, line.now())}, and devices install nothing new since: if what is live is what should be, "
            f"`smallfleet trust renew {line.model} --expired`"
        )
    elif targets.expires_at - line.now() < warn:
        yield f"{_ends('the list', targets.expires_at, line.now())}: `smallfleet trust renew {line.model}`"


def _about_online(line: LineTrust, shown: Shown, warn: timedelta) -> Iterator[str]:
    for role in ONLINE_ROLES:
        if role in shown.online and shown.online[role][1] - line.now() < min(warn, ONLINE_LEFT):
            yield (
                f"{_ends(f'the {role}', shown.online[role][1], line.now())}, and the server renews it daily: does its worker run, "
                "and does the root name its keys?"
            )


def _ends(what: str, ends: datetime, now: datetime) -> str:
    left = ends - now
    return (
        f"{what} ends in {left.total_seconds() / 86400:.1f} days"
        if left > timedelta(0)
        else f"{what} ended on {day(ends)}"
    )
