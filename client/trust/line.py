"""One model line between its trust folder and the server: what the server shows, checked; and what is signed here, sent there.

Two publishers at once: the server takes list n+1 only after n, so one of them gets a 409, reads the other's list, checks it, makes its own
change to that, and signs again.
"""

import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import Root
from tuf.api.metadata import Targets as TargetsRole

from client.errors import ConfigError, Refused, Untrusted
from client.rest import Json, RestClient
from client.trust.documents import (
    ONLINE_ROLES,
    SignedRoot,
    SignedTargets,
    expiry_of,
    follow,
    key_from_wire,
    next_root,
    read_targets,
    sign_targets,
)
from client.trust.folder import LineFolder
from client.trust.keys import short
from client.trust.live import Targets

NO_TRUST = "urn:smallfleet:problem:no-trust"
NOT_FOUND = "urn:smallfleet:problem:not-found"
OUTDATED = "urn:smallfleet:problem:metadata-outdated"
TRIES = 10
PAUSE_S = 0.2


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the server shows of a line.

    Attributes:
        roots: checked, from the oldest that the folder has to the newest.
        targets: the list's bytes, not yet checked; None before the first.
        online: version and end of snapshot and timestamp, as they stand.
    """

    roots: tuple[SignedRoot, ...]
    targets: bytes | None
    online: Mapping[str, tuple[int, datetime]]

    @property
    def root(self) -> SignedRoot:
        """The newest."""
        return self.roots[-1]

    @property
    def targets_version(self) -> int:
        """Of the list; 0 before the first."""
        return expiry_of(self.targets)[0] if self.targets else 0


class LineTrust:
    """The metadata of one model line.

    Args:
        clock: the time of day, for what is signed and what has ended.
    """

    def __init__(
        self,
        rest: RestClient,
        folder: LineFolder,
        *,
        clock: Callable[[], datetime] = _now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rest = rest
        self.folder = folder
        self.model = folder.model
        self.now = clock
        self._sleep = sleep

    def shown(self) -> Shown:
        """What the server shows; newer roots are checked and kept in the folder.

        Raises:
            Untrusted: the folder has no root, or a newer one is not signed by the keys of the one before.
            ConfigError: the line has no trust on this server.
        """
        newest = self.folder.newest_root()
        news = ask_news(self.rest, self.model, root=newest.version)
        for root in follow(newest, (text.encode() for text in news.get("roots", ())), self.model):
            self.folder.keep_root(root)
        online = {role: expiry_of(news[role].encode()) for role in ONLINE_ROLES if role in news}
        targets = news.get("targets")
        return Shown(tuple(self.folder.roots()), targets.encode() if targets else None, online)

    def targets_of(self, shown: Shown) -> SignedTargets | None:
        """The shown list, checked against the newest root and what was seen before; None before the first.

        Raises:
            Untrusted: no publisher of today signed it, or the folder has seen a newer one.
        """
        targets = None if shown.targets is None else read_targets(shown.targets, self.model, [shown.root])
        known = self.folder.last_targets()
        if known is not None and (targets is None or known.version > targets.version):
            shows = "no list" if targets is None else f"list {targets.version}"
            raise Untrusted(
                f"the server shows {shows} of {self.model}, and {self.folder.path} has seen {known.version}: "
                "an old list would bring back what was withdrawn. If the server was restored from a backup: "
                f"`smallfleet trust renew {self.model} --restored`"
            )
        return targets

    def require_fresh(self, targets: SignedTargets | None) -> None:
        """Look whether a list still stands: what has ended was perhaps withdrawn since, so it is signed again only knowingly.

        Raises:
            Untrusted: it has ended.
        """
        if targets is not None and targets.signed.is_expired(self.now()):
            raise Untrusted(
                f"list {targets.version} of {self.model} ended on {day(targets.expires_at)}, and devices install nothing new since: look at it "
                f"(`smallfleet trust status {self.model}`), then sign it again with `smallfleet trust renew {self.model} --expired`"
            )

    def require_publisher(self, root: SignedRoot, signer: CryptoSigner) -> None:
        """Look whether the root names this key as a publisher's.

        Raises:
            Untrusted: it does not.
        """
        keyid = signer.public_key.keyid
        if keyid not in root.keyids(TargetsRole.type):
            named = ", ".join(short(one) for one in root.keyids(TargetsRole.type))
            raise Untrusted(
                f"the key {short(keyid)} is no publisher of {self.model}: root {root.version} names {named}. Use one of those, or let the "
                f"holder of the root key run `smallfleet trust add-publisher {self.model} --public-key FILE`"
            )

    def change_targets(
        self,
        change: Callable[[Targets], Targets],
        signer: CryptoSigner,
        *,
        is_expired_taken: bool = False,
        always: bool = False,
    ) -> SignedTargets | None:
        """Sign what `change` makes of the list, as often as somebody else is quicker; None where it changes nothing.

        `change` is asked again with the other publisher's list after each 409, so it has no effects of its own. With `always` also what is
        the same is signed: a renewal.

        Raises:
            Untrusted: what the server shows may not be signed on top of, or the key is no publisher's.
            Refused: the server says no; after `TRIES` times also that somebody else was quicker.
        """
        for left in reversed(range(TRIES)):
            shown = self.shown()
            self.require_publisher(shown.root, signer)
            before = self.targets_of(shown)
            if not is_expired_taken:
                self.require_fresh(before)
            live = before.targets if before else {}
            wanted = change(live)
            if before is not None and dict(wanted) == dict(live) and not always:
                self.folder.keep_targets(before)
                return None
            try:
                return self.put_targets(wanted, signer, version=shown.targets_version + 1)
            except Refused as refused:
                if refused.type != OUTDATED or not left:
                    raise
            self._sleep(random.uniform(0.5, 1.5) * PAUSE_S * (TRIES - left))  # noqa: S311 - jitter, no secret
        raise AssertionError("the last try returns or raises")

    def put_targets(self, targets: Targets, signer: CryptoSigner, *, version: int) -> SignedTargets:
        """Sign this list, send it, and remember it."""
        signed = sign_targets(targets, version=version, model=self.model, signer=signer, now=self.now())
        self.rest.put_bytes(self._path(f"{version}.targets.json"), signed.content)
        self.folder.keep_targets(signed)
        return signed

    def put_root(self, root: SignedRoot) -> None:
        """Send a root and keep it; the same one again is harmless."""
        self.rest.put_bytes(self._path(f"{root.version}.root.json"), root.content)
        self.folder.keep_root(root)

    def change_root(self, change: Callable[[Root], None], signers: Collection[CryptoSigner]) -> SignedRoot:
        """Sign and send the next root.

        Raises:
            Untrusted: the keys are not those that the root asks for.
            Refused: the server says no.
        """
        before = self.shown().root
        missing = not {signer.public_key.keyid for signer in signers} & set(before.keyids(Root.type))
        if missing:
            named = ", ".join(short(keyid) for keyid in before.keyids(Root.type))
            raise Untrusted(f"this is not the root key of {self.model}: root {before.version} names {named}")
        root = next_root(before, change, signers=signers, model=self.model, now=self.now())
        self.put_root(root)
        return root

    def online_keys(self) -> dict[str, Key]:
        """The server's keys for snapshot and timestamp."""
        document = self.rest.get("trust/online-keys")
        return {role: key_from_wire(document[role]) for role in ONLINE_ROLES}

    def _path(self, file: str) -> str:
        return f"models/{self.model}/metadata/{file}"


def ask_news(rest: RestClient, model: str, *, root: int) -> Json:
    """All that a line's metadata is at the moment, and the roots after `root`.

    Raises:
        ConfigError: the line has no trust on this server.
    """
    try:
        return rest.get(f"models/{model}/metadata/news", root=root, timestamp=0, snapshot=0, targets=0)
    except Refused as refused:
        if refused.type in {NO_TRUST, NOT_FOUND}:
            raise ConfigError(
                f"{model} has no trust on {rest.server}: run `smallfleet trust init {model}` once "
                "(with --create-model if the line is new)"
            ) from refused
        raise


def day(moment: datetime) -> str:
    """A moment as people read it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
