"""Setting up and changing who may sign a model line. Each verb may be cut at any point and is then simply run again: it looks at how far it came.

The root key is needed here and for nothing else, so it can lie in a drawer between two uses.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.metadata import Root
from tuf.api.metadata import Targets as TargetsRole

from client.errors import ConfigError, Refused
from client.trust.documents import (
    ONLINE_ROLES,
    SignedRoot,
    SignedTargets,
    first_root,
    read_targets,
    replace_keys,
)
from client.trust.keys import KeyRole, find_publisher_key, load_key, make_key, publisher_key, read_public_key, short
from client.trust.line import OUTDATED, TRIES, LineTrust, Shown
from client.trust.live import Targets, differences, only

PUBLISHERS = TargetsRole.type


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """Where the keys of a command come from.

    Attributes:
        root: the root key's file; None is the one of the trust folder.
        publisher: the publisher key's file; None is the one of the environment or else of the trust folder.
        ask: prompt for the passphrases of new keys.
    """

    root: Path | None = None
    publisher: Path | None = None
    ask: bool = False

    def root_file(self, line: LineTrust) -> Path:
        """The root key's file of a line."""
        return self.root or line.folder.root_key

    def root_key(self, line: LineTrust) -> CryptoSigner:
        """The root key of a line.

        Raises:
            LocalFileError, ConfigError: it is not there, or cannot be opened.
        """
        return load_key(self.root_file(line), KeyRole.ROOT)

    def publisher_key(self, line: LineTrust) -> CryptoSigner:
        """The publisher's key of a line.

        Raises:
            LocalFileError, ConfigError: there is none, or it cannot be opened.
        """
        return publisher_key(self.publisher, line.folder.publisher_key)


@dataclass(frozen=True, slots=True)
class Begun:
    """What `begin` did.

    Attributes:
        made: the key files that it wrote.
        targets: the first list; None where the publisher's key is somewhere else, and has to sign it there.
    """

    root: SignedRoot
    made: tuple[Path, ...]
    targets: SignedTargets | None


def begin(line: LineTrust, places: KeyPlaces, *, create_model: bool, public_key: Path | None) -> Begun:
    """Give a model line its keys, its first root and an empty list. `public_key` is of a publisher who has a key already; else one is made.

    Raises:
        ConfigError: there is no such line and none is to be made, or it has trust already.
    """
    folder = line.folder
    if not folder.roots():
        _require_none_yet(line)
    folder.make()
    made: list[Path] = []
    if not folder.roots():
        online = line.online_keys()
        _ensure_model(line, create_model=create_model)
        root_key = _load_or_make(places.root_file(line), KeyRole.ROOT, places, made)
        if public_key is None:
            publisher: Key = _load_or_make(folder.publisher_key, KeyRole.PUBLISHER, places, made).public_key
        else:
            publisher = read_public_key(public_key)
        # On disk before it is sent: a root that the server has and nobody else is of no use.
        folder.keep_root(first_root(line.model, root=root_key, publisher=publisher, online=online, now=line.now()))
    else:
        _ensure_model(line, create_model=create_model)
    for root in folder.roots():
        line.put_root(root)
    shown = line.shown()
    if shown.targets is not None and not made:
        raise ConfigError(
            f"{line.model} has trust already (root {shown.root.version}): see `smallfleet trust status {line.model}`"
        )
    return Begun(shown.root, tuple(made), _first_targets(line, places, shown))


def add_publisher(line: LineTrust, places: KeyPlaces, public: SSlibKey) -> SignedRoot:
    """Let one more key sign lists.

    Raises:
        ConfigError: it may already.
    """
    if public.keyid in line.shown().root.keyids(PUBLISHERS):
        raise ConfigError(f"{short(public.keyid)} is a publisher of {line.model} already")
    return line.change_root(lambda root: root.add_key(public, PUBLISHERS), [places.root_key(line)])


def renew_targets(line: LineTrust, signer: CryptoSigner, *, is_expired_taken: bool) -> SignedTargets:
    """Sign the list as it stands once more, with a new end."""
    signed = line.change_targets(lambda live: live, signer, is_expired_taken=is_expired_taken, always=True)
    if signed is None:
        raise AssertionError("a renewal always signs")
    return signed


def restore(line: LineTrust, signer: CryptoSigner) -> SignedTargets:
    """Bring a server that came back from an older backup to where this folder was: roots, and the last list under a higher number.

    Raises:
        ConfigError: the folder remembers no list.
    """
    for root in line.folder.roots():
        line.put_root(root)
    known = line.folder.last_targets()
    if known is None:
        raise ConfigError(f"{line.folder.path} remembers no list of {line.model}: there is nothing to restore")
    line.require_publisher(line.shown().root, signer)
    while True:
        # The server takes the next number only; devices take none below what they have seen.
        version = line.shown().targets_version + 1
        signed = line.put_targets(known.targets, signer, version=version)
        if version > known.version:
            return signed


def renew_root(line: LineTrust, places: KeyPlaces) -> SignedRoot:
    """Sign the root as it stands once more, with a new end."""
    return line.change_root(lambda _root: None, [places.root_key(line)])


def rotate_root(line: LineTrust, places: KeyPlaces) -> tuple[SignedRoot, Path]:
    """Put a new root key in place of the old; the root, and where the old key lies now."""
    file = places.root_file(line)
    coming = _coming(file)
    root = line.shown().root
    fresh = _load_or_make(coming, KeyRole.ROOT, places, [])
    if fresh.public_key.keyid not in root.keyids(Root.type):
        old = places.root_key(line)
        root = line.change_root(_exchange(Root.type, old.public_key.keyid, fresh.public_key), [old, fresh])
    return root, _settle(file)


def rotate_publisher(
    line: LineTrust, places: KeyPlaces, *, old_keyid: str | None
) -> tuple[SignedRoot, SignedTargets, Path]:
    """Put a new publisher key in place of one that nobody stole, without a moment in which devices have nothing they may trust.

    The new key joins, signs the list, and only then the old one goes. Returns the root, the list, and where the new key lies.
    """
    file = line.folder.publisher_key
    shown = line.shown()
    line.require_fresh(line.targets_of(shown))
    root = shown.root
    fresh = _load_or_make(_coming(file), KeyRole.PUBLISHER, places, [])
    keyid = fresh.public_key.keyid
    old = _rotated_keyid(line, root, keyid, old_keyid)
    if keyid not in root.keyids(PUBLISHERS):
        root_key = places.root_key(line)
        root = line.change_root(lambda changed: changed.add_key(fresh.public_key, PUBLISHERS), [root_key])
    targets = renew_targets(line, fresh, is_expired_taken=False)
    if old != keyid and old in root.keyids(PUBLISHERS):
        root_key = places.root_key(line)
        root = line.change_root(lambda changed: changed.revoke_key(old, PUBLISHERS), [root_key])
    _settle(file)
    return root, targets, file


def rotate_online(line: LineTrust, places: KeyPlaces) -> SignedRoot:
    """Take the server's present online keys in place of those that the root names.

    Raises:
        ConfigError: they are the same.
    """
    online = line.online_keys()
    root = line.shown().root
    if all(root.keyids(role) == [online[role].keyid] for role in ONLINE_ROLES):
        raise ConfigError(
            f"root {root.version} of {line.model} names the server's online keys as they are: let the server have new ones first "
            "(move snapshot.pem and timestamp.pem out of its SMALLFLEET_KEYS folder and restart it), then run this again"
        )

    def change(changed: Root) -> None:
        for role in ONLINE_ROLES:
            replace_keys(changed, role, [online[role]])

    return line.change_root(change, [places.root_key(line)])


@dataclass(frozen=True, slots=True)
class Kept:
    """Which targets of the list stay when a key is revoked; all None and False for "only if nothing was changed"."""

    everything: bool = False
    paths: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Revoked:
    """What `revoke` did; `new_key` is where a key lies that it had to make because no publisher was left."""

    root: SignedRoot
    keyid: str
    targets: SignedTargets
    new_key: Path | None


def revoke(line: LineTrust, places: KeyPlaces, keyid: str, kept: Kept) -> Revoked:
    """Let a key sign nothing any more, and sign the list anew with one that may.

    The root goes first: from then on devices refuse whatever the key signed. What stays in the list is decided before anything is changed.

    Raises:
        ConfigError: no publisher has such a key, or the list was changed since this folder saw it and nothing says what stays.
    """
    shown = line.shown()
    full = _publisher_keyid(shown, keyid)
    targets = _list_after(line, shown, kept)
    others = [one for one in shown.root.keyids(PUBLISHERS) if one != full]
    file = line.folder.publisher_key
    is_last = not others or _coming(file).exists()
    signer = _load_or_make(_coming(file), KeyRole.PUBLISHER, places, []) if is_last else places.publisher_key(line)
    if signer.public_key.keyid == full:
        raise ConfigError(
            f"{short(full)} is the key that is to go, so it cannot sign the list: give another publisher's with --key, "
            f"one of {', '.join(map(short, others))}"
        )
    root = shown.root
    if full in root.keyids(PUBLISHERS):
        root = line.change_root(_exchange(PUBLISHERS, full, signer.public_key), [places.root_key(line)])
    line.require_publisher(root, signer)
    signed = _sign_over(line, targets, signer)
    if is_last:
        _settle(file)
    return Revoked(root, full, signed, file if is_last else None)


def _require_none_yet(line: LineTrust) -> None:
    """Look whether somebody else has set up trust.

    Raises:
        ConfigError: so it is.
    """
    state = line.rest.find(f"models/{line.model}/metadata")
    if state is not None:
        raise ConfigError(
            f"{line.model} has trust on {line.rest.server} already (root {state['root']['version']}), and {line.folder.path} has no root of it: "
            "bring the public *.root.json files there from whoever set it up"
        )


def _ensure_model(line: LineTrust, *, create_model: bool) -> None:
    """Make the model line if it is missing and may be made.

    Raises:
        ConfigError: it may not.
    """
    if line.rest.find(f"models/{line.model}") is not None:
        return
    if not create_model:
        raise ConfigError(f"there is no model line {line.model!r}: check the name, or add --create-model")
    line.rest.post("models", {"name": line.model}, idempotent=True)


def _first_targets(line: LineTrust, places: KeyPlaces, shown: Shown) -> SignedTargets | None:
    """Sign an empty list where there is none and the publisher's key is here."""
    if shown.targets is not None:
        return line.targets_of(shown)
    signer = find_publisher_key(places.publisher, line.folder.publisher_key)
    if signer is None:
        return None
    return line.change_targets(lambda live: live, signer)


def _load_or_make(file: Path, role: KeyRole, places: KeyPlaces, made: list[Path]) -> CryptoSigner:
    if file.exists():
        return load_key(file, role)
    made.append(file)
    return make_key(file, role, ask=places.ask)


def _exchange(role: str, old_keyid: str, new: Key) -> Callable[[Root], None]:
    def change(root: Root) -> None:
        root.revoke_key(old_keyid, role)
        root.add_key(new, role)

    return change


def _coming(file: Path) -> Path:
    """Where a new key lies until it has taken its place."""
    return file.with_name(f"{file.stem}.new.pem")


def _settle(file: Path) -> Path:
    """Let the new key take its place, and the old one lie beside it under a name of its own; returns that name."""
    coming = _coming(file)
    number = 1
    while (retired := file.with_name(f"{file.stem}.old-{number}.pem")).exists():
        number += 1
    for suffix in (".pem", ".pub"):
        if coming.with_suffix(suffix).exists():
            if file.with_suffix(suffix).exists():
                file.with_suffix(suffix).rename(retired.with_suffix(suffix))
            coming.with_suffix(suffix).rename(file.with_suffix(suffix))
    return retired


def _rotated_keyid(line: LineTrust, root: SignedRoot, fresh: str, said: str | None) -> str:
    """The id of the publisher key that goes.

    Raises:
        ConfigError: there are several, and nothing says which.
    """
    publishers = [keyid for keyid in root.keyids(PUBLISHERS) if keyid != fresh]
    if said is not None:
        return _only_one(said, publishers, f"publisher of {line.model}")
    public = line.folder.publisher_key.with_suffix(".pub")
    if public.exists() and (here := read_public_key(public).keyid) in publishers:
        return here
    if not publishers:
        return fresh  # a rotation that was cut short after its last root
    if len(publishers) != 1:
        raise ConfigError(
            f"{line.model} has {len(publishers)} publishers: say with --keyid which key goes, one of {_list(publishers)}"
        )
    return publishers[0]


def _publisher_keyid(shown: Shown, said: str) -> str:
    """The publisher's key that is meant, of today's root or, where a revocation was cut short, of an earlier one.

    Raises:
        ConfigError: there is none, or it is no publisher's.
    """
    today = shown.root.keyids(PUBLISHERS)
    for role in (Root.type, *ONLINE_ROLES):
        if any(keyid.startswith(said) for keyid in shown.root.keyids(role)):
            word = "root" if role == Root.type else "online"
            raise ConfigError(
                f"{said} is the {role} key: `smallfleet trust rotate --role {word}` puts another in its place"
            )
    ever = {keyid for root in shown.roots for keyid in root.keyids(PUBLISHERS)}
    return _only_one(said, [keyid for keyid in today if keyid.startswith(said)] or sorted(ever), "publisher")


def _only_one(said: str, keyids: Collection[str], whose: str) -> str:
    found = [keyid for keyid in keyids if keyid.startswith(said)]
    if len(found) != 1:
        raise ConfigError(
            f"{'no' if not found else 'more than one'} {whose} has a key {said}…; the keys are {_list(keyids)}"
        )
    return found[0]


def _list(keyids: Iterable[str]) -> str:
    return ", ".join(map(short, keyids)) or "none"


def _list_after(line: LineTrust, shown: Shown, kept: Kept) -> Targets:
    """What stays in the list when a key that may be stolen is revoked.

    Raises:
        ConfigError: it is not what this folder saw last, and nothing says what stays.
    """
    if shown.targets is None:
        return {}
    current = read_targets(shown.targets, line.model, shown.roots)
    if kept.everything:
        return current.targets
    if kept.paths is not None:
        return only(current.targets, kept.paths)
    seen = line.folder.last_targets()
    changed = differences(seen.targets if seen else {}, current.targets)
    if not changed:
        return current.targets
    since = f"list {seen.version}, the last that {line.folder.path} saw" if seen else "an empty list"
    raise ConfigError(
        "\n".join(
            [
                f"list {current.version} of {line.model} differs from {since}:",
                *(f"  {one}" for one in changed),
                "If all of that was yours, add --keep-all. If not, say what stays: --keep VERSION/VARIANT (as often as needed),",
                "or --keep-none and publish again. Nothing was changed yet.",
            ]
        )
    )


def _sign_over(line: LineTrust, targets: Targets, signer: CryptoSigner) -> SignedTargets:
    """Sign this list whatever the server's newest is: that may be a thief's.

    Raises:
        Refused: the server says no.
    """
    for left in reversed(range(TRIES)):
        try:
            signed = line.put_targets(targets, signer, version=line.shown().targets_version + 1)
        except Refused as refused:
            if refused.type != OUTDATED or not left:
                raise
            continue
        line.folder.replace_targets(signed)
        return signed
    raise AssertionError("the last try returns or raises")
