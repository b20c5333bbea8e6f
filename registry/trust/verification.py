"""Whether signed metadata may be kept. Pure: bytes, what it must follow and the time go in; the checked metadata, or an error, comes out.

Bytes are counted before they are parsed, and what they say, but for the kinds of keys, is looked at only after their signatures. python-tuf
parses and verifies.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError, SerializationError

from registry.errors import (
    MetadataDiffers,
    MetadataExpiry,
    MetadataRefused,
    MetadataTooLarge,
    MetadataUnsigned,
    OnlineKeysDiffer,
    TooManyTargets,
    WrongModelLine,
)

MAX_BYTES: Final[Mapping[str, int]] = {Root.type: 64_000, Targets.type: 128_000}
"""A root of 100 keys has 30 kB; targets metadata of 32 targets with everything set has 25 kB."""
MAX_LIFE: Final[Mapping[str, timedelta]] = {Root.type: timedelta(days=400), Targets.type: timedelta(days=30)}
MAX_TARGETS: Final = 32
CLOCK_SKEW: Final = timedelta(minutes=10)
"""How far a publisher's clock may be ahead of ours: it signs for a whole life from its own now."""

T = TypeVar("T", Root, Targets)

_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE]-?[0-9]{1,2})?")
_PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")
_CLASS_CHARACTERS: Final = 64
_LIMITS: Final = ("p50_latency_ns", "peak_memory_bytes")


@dataclass(frozen=True, slots=True)
class VariantFacts:
    """What the registry knows of a variant, and a signature must agree with. Files are (sha256, size in bytes)."""

    version: str
    variant: str
    model: tuple[str, int]
    contract: tuple[str, int]
    sample_set: tuple[str, int] | None
    tolerances: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Read(Generic[T]):
    """Metadata that could be read, with the canonical JSON that its signatures are over; nobody has verified them yet."""

    signed: T
    payload: bytes
    signatures: Any


# --- Roots ------------------------------------------------------------------------------------------------------------------------------


def check_root(
    content: bytes, *, version: int, model: str, previous: Root | None, online: Mapping[str, str], now: datetime
) -> Root:
    """The root, if it may follow `previous`.

    Args:
        content: the file.
        version: by its address.
        model: the line that it is for.
        previous: None for the first, which signs itself.
        online: the keyids of this server by role.
        now: aware.

    Raises:
        MetadataRefused: it may not; its subclasses say why.
        OnlineKeysDiffer: this server could not sign snapshots or timestamps under it.
    """
    found = _read(Root, content)
    root = found.signed
    _check_version(root, version)
    _check_key_types(root)
    _check_root_signatures(found, previous)
    if root.unrecognized_fields.get("model") != model:
        named = root.unrecognized_fields.get("model")
        raise WrongModelLine(f"the root is for the model line {_short(named)}, not {model!r}")
    check_expiry(root, now)
    _check_keys(root)
    check_online_keys(root, online)
    return root


def _check_root_signatures(found: _Read[Root], previous: Root | None) -> None:
    try:
        result = found.signed.get_root_verification_result(previous, found.payload, found.signatures)
    except ValueError as error:
        raise MetadataRefused(str(error)) from error
    if not result:
        raise MetadataUnsigned(
            f"the root has {len(result.first.signed)} of {result.first.threshold} signatures of the root before it"
            f" and {len(result.second.signed)} of {result.second.threshold} of its own"
        )


def _check_key_types(root: Root) -> None:
    """Every key ed25519, written in the one way. Before any signature: the code behind other kinds of keys is never run."""
    if any((key.keytype, key.scheme) != ("ed25519", "ed25519") for key in root.keys.values()):
        raise MetadataRefused("every key of the root must be ed25519")
    if not all(_PUBLIC_KEY.fullmatch(key.keyval["public"]) for key in root.keys.values()):
        raise MetadataRefused("the public part of a key is 64 lower-case hexadecimal digits")


def _check_keys(root: Root) -> None:
    """Every key there once, every role able to sign, and nobody's key in two kinds of hands."""
    if root.consistent_snapshot is not True:
        raise MetadataRefused("the root must have consistent_snapshot: true")
    if len({key.keyval["public"] for key in root.keys.values()}) < len(root.keys):
        raise MetadataRefused("the root names a key twice, which would count as two signatures")
    for name, role in root.roles.items():
        if not set(role.keyids) <= root.keys.keys() or role.threshold > len(role.keyids):
            raise MetadataRefused(f"the root's role {name} has too few keys for its threshold of {role.threshold}")
    hands = [set(root.roles[Root.type].keyids), set(root.roles[Targets.type].keyids), _online_keyids(root)]
    if len(set.union(*hands)) < sum(map(len, hands)):
        raise MetadataRefused("root, targets and the server's online roles must not share a key")


def _online_keyids(root: Root) -> set[str]:
    return {*root.roles[Snapshot.type].keyids, *root.roles[Timestamp.type].keyids}


def check_online_keys(root: Root, online: Mapping[str, str]) -> None:
    """Let a root pass under which this server can sign alone; it may name further keys, for a change that is being prepared.

    Raises:
        OnlineKeysDiffer: it cannot.
    """
    for name, keyid in online.items():
        role = root.roles[name]
        if keyid not in role.keyids or role.threshold != 1:
            raise OnlineKeysDiffer(
                f"the {name} role of root {root.version} must name this server's key {keyid} with threshold 1;"
                " take it from GET /api/v1/trust/online-keys into a new root"
            )


# --- Targets ----------------------------------------------------------------------------------------------------------------------------


def check_targets(content: bytes, *, version: int, model: str, root: Root, now: datetime) -> Targets:
    """The targets metadata, if a publisher of `root` signed it and it is fit to be given out.

    Raises:
        MetadataRefused: it is not; its subclasses say why.
    """
    found = _read(Targets, content)
    targets = found.signed
    _check_version(targets, version)
    try:
        root.verify_delegate(Targets.type, found.payload, found.signatures)
    except UnsignedMetadataError as error:
        raise MetadataUnsigned(f"{error} that root {root.version} names as publishers") from error
    named = targets.unrecognized_fields.get("model")
    if named != model:
        raise WrongModelLine(f"the targets metadata is for the model line {_short(named)}, not {model!r}")
    if root.is_expired(now):
        raise MetadataExpiry(f"root {root.version} expired at {root.expires:%Y-%m-%dT%H:%MZ}; sign a new root first")
    check_expiry(targets, now)
    if targets.delegations is not None:
        raise MetadataRefused("delegations are not used here; every publisher signs the line's own targets")
    if len(targets.targets) > MAX_TARGETS:
        raise TooManyTargets(f"{len(targets.targets)} live targets; at most {MAX_TARGETS}: archive the oldest")
    return targets


def is_signed_under(content: bytes, root: Root) -> bool:
    """Whether targets metadata that was accepted once still has enough signatures by the keys of `root`."""
    found = _read(Targets, content)
    return bool(root.get_verification_result(Targets.type, found.payload, found.signatures))


def check_facts(targets: Iterable[TargetFile], *, model: str, known: Collection[VariantFacts]) -> None:
    """Every target is a variant of the line, and says of it what the registry knows.

    Raises:
        WrongModelLine: a target names another line.
        MetadataDiffers: it does not; `errors` has each difference.
    """
    by_path = {f"{facts.version}/{facts.variant}": facts for facts in known}
    errors = [
        {"field": target.path, "message": message}
        for target in targets
        for message in _differences(target, model, by_path.get(target.path))
    ]
    if errors:
        raise MetadataDiffers("correct what `errors` names and sign again", errors=errors)


def _differences(target: TargetFile, model: str, facts: VariantFacts | None) -> list[str]:
    custom = target.custom
    if not isinstance(custom, dict):
        return ["custom is missing"]
    if custom.get("model") != model:
        raise WrongModelLine(f"a target was signed for the model line {_short(custom.get('model'))}, not {model!r}")
    if facts is None:
        return ["is no variant of this model line, or its version was yanked"]
    sha256, size_bytes = facts.model
    wanted: list[tuple[str, object, object]] = [
        ("version", custom.get("version"), facts.version),
        ("variant", custom.get("variant"), facts.variant),
        ("hashes", target.hashes, {"sha256": sha256}),
        ("length", target.length, size_bytes),
        ("contract", custom.get("contract"), _file(facts.contract)),
        ("sample_set", custom.get("sample_set"), _file(facts.sample_set)),
        ("tolerances", _numbers(custom.get("tolerances", {})), dict(facts.tolerances)),
    ]
    found = [f"{name} is {_short(signed)}, not {there!r}" for name, signed, there in wanted if signed != there]
    return found + _malformed(custom)


def _short(value: object) -> str:
    """What somebody signed, for a message."""
    return f"{value!r:.200}"


def _file(file: tuple[str, int] | None) -> dict[str, Any] | None:
    return None if file is None else {"sha256": file[0], "size_bytes": file[1]}


def _numbers(texts: object) -> object:
    """Decimal strings as numbers, for canonical JSON has no others than integers; what is no such mapping stays, and differs."""
    if not isinstance(texts, dict):
        return texts
    return {
        name: float(text) if isinstance(text, str) and _DECIMAL.fullmatch(text) else text
        for name, text in texts.items()
    }


def _malformed(custom: Mapping[str, Any]) -> list[str]:
    """What the registry does not know, and only the devices read."""
    found = []
    limits = custom.get("limits", {})
    if not isinstance(limits, dict) or not all(name in _LIMITS and _is_count(value) for name, value in limits.items()):
        found.append(f"limits must be whole numbers above 0 of {', '.join(_LIMITS)}")
    classes = custom.get("device_classes", ["any"])
    if not isinstance(classes, list) or not classes or not all(map(_is_class, classes)):
        found.append(f"device_classes must be one or more names of at most {_CLASS_CHARACTERS} characters")
    if custom.get("downgrade", True) is not True:
        found.append("downgrade must be true, or left out")
    return found


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value < 2**63


def _is_class(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= _CLASS_CHARACTERS


# --- Both -------------------------------------------------------------------------------------------------------------------------------


def load(kind: type[T], content: str) -> T:
    """The signed part of a file that was checked when it came."""
    return _read(kind, content.encode()).signed


def _read(kind: type[T], content: bytes) -> _Read[T]:
    cap = MAX_BYTES[kind.type]
    if len(content) > cap:
        raise MetadataTooLarge(f"{kind.type} metadata may have {cap} bytes")
    try:
        metadata: Metadata[T] = Metadata.from_bytes(content)
        payload = metadata.signed_bytes
    except (DeserializationError, SerializationError) as error:
        why = str(error.__cause__ or error)[:250]  # may quote half a surrogate, which no answer can hold
        raise MetadataRefused(f"this is no TUF metadata: {why.encode(errors='backslashreplace').decode()}") from error
    if not isinstance(metadata.signed, kind):
        raise MetadataRefused(f"this is {metadata.signed.type} metadata, not {kind.type}")
    return _Read(metadata.signed, payload, metadata.signatures)


def _check_version(signed: Signed, version: int) -> None:
    if signed.version != version:
        raise MetadataRefused(f"the address says version {version}, the signed file version {signed.version}")


def check_expiry(signed: Signed, now: datetime) -> None:
    """Let pass what is valid now, and not for longer than metadata of its role may be.

    Raises:
        MetadataExpiry: it is not.
    """
    life = MAX_LIFE[signed.type]
    if signed.is_expired(now):
        raise MetadataExpiry(f"it expired at {signed.expires:%Y-%m-%dT%H:%MZ}")
    if signed.expires > now + life + CLOCK_SKEW:
        raise MetadataExpiry(
            f"it expires at {signed.expires:%Y-%m-%dT%H:%MZ}; {signed.type} metadata may last {life.days} days"
        )
