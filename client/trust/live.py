"""What one target says, and which targets are live: pure changes of a list. Canonical JSON has no floats, so numbers are integers or text."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuf.api.metadata import TargetFile

from client.errors import ConfigError
from client.trust.documents import MAX_TARGETS

Targets = Mapping[str, TargetFile]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was hashed on this machine."""

    sha256: str
    size_bytes: int

    def as_custom(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "size_bytes": self.size_bytes}


@dataclass(frozen=True, slots=True)
class SignedFacts:
    """What a publisher signs of one variant.

    Attributes:
        tolerances: `atol`, `rtol`, `min_agreement`; only those that are set.
        limits: health limits: `p50_latency_ns`, `peak_memory_bytes`; only those that are set.
        device_classes: which may install it; none is any.
        is_downgrade_allowed: devices may install it although they run a later version.
    """

    model: str
    version: str
    variant: str
    file: LocalFile
    contract: LocalFile
    sample_set: LocalFile | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    device_classes: Sequence[str] = ()
    is_downgrade_allowed: bool = False

    @property
    def path(self) -> str:
        """The target's name in TUF."""
        return f"{self.version}/{self.variant}"

    def as_target(self) -> TargetFile:
        """The target; what is not set is left out."""
        custom: dict[str, Any] = {
            "model": self.model,
            "version": self.version,
            "variant": self.variant,
            "contract": self.contract.as_custom(),
        }
        if self.sample_set:
            custom["sample_set"] = self.sample_set.as_custom()
        if self.tolerances:
            custom["tolerances"] = {name: decimal_text(value) for name, value in self.tolerances.items()}
        if self.limits:
            custom["limits"] = dict(self.limits)
        if self.device_classes:
            custom["device_classes"] = sorted(set(self.device_classes))
        if self.is_downgrade_allowed:
            custom["downgrade"] = True
        return TargetFile(self.file.size_bytes, {"sha256": self.file.sha256}, self.path, {"custom": custom})


def decimal_text(value: float) -> str:
    """A number as text that reads back as the same float: the shortest digits, as Python and JSON write them."""
    return repr(float(value)).replace("e+", "e")


def with_target(live: Targets, target: TargetFile, *, oldest_first: Sequence[str]) -> tuple[Targets, list[str]]:
    """The list with a target added or replaced, and the versions that had to make room: whole ones, oldest first.

    `oldest_first` has versions in the order in which they were published; what it does not name makes no room.

    Raises:
        ConfigError: the target's own version alone is too many.
    """
    wanted = dict(live) | {target.path: target}
    own = version_of(target.path)
    archived = []
    for version in oldest_first:
        if len(wanted) <= MAX_TARGETS:
            break
        if version != own and any(version_of(path) == version for path in wanted):
            wanted = {path: kept for path, kept in wanted.items() if version_of(path) != version}
            archived.append(version)
    if len(wanted) > MAX_TARGETS:
        raise ConfigError(
            f"at most {MAX_TARGETS} variants of a model line are live: {own} would be number {len(wanted)}, and nothing older "
            "can make room; withdraw something with `smallfleet yank`"
        )
    return wanted, archived


def without_version(live: Targets, version: str) -> Targets:
    """The list without any variant of a version."""
    return {path: target for path, target in live.items() if version_of(path) != version}


def only(live: Targets, paths: Collection[str]) -> Targets:
    """The list with these targets alone.

    Raises:
        ConfigError: one of them is not in it.
    """
    missing = sorted(set(paths) - set(live))
    if missing:
        raise ConfigError(f"{', '.join(missing)} is not in the list; it has: {', '.join(live) or 'nothing'}")
    return {path: target for path, target in live.items() if path in paths}


def differences(before: Targets, after: Targets) -> list[str]:
    """What was done to a list, in words, one line for each target."""
    return [
        *(f"added: {describe(after[path])}" for path in sorted(set(after) - set(before))),
        *(
            f"changed: {describe(after[path])}"
            for path in sorted(before)
            if path in after and after[path] != before[path]
        ),
        *(f"removed: {describe(before[path])}" for path in sorted(set(before) - set(after))),
    ]


def describe(target: TargetFile) -> str:
    """One target in a line."""
    return f"{target.path} ({target.hashes['sha256'][:12]}, {target.length:,} bytes)"


def version_of(path: str) -> str:
    """The version of a target's path."""
    return path.partition("/")[0]


def oldest_versions(versions: Iterable[Mapping[str, Any]]) -> list[str]:
    """Published versions of the server's model document, oldest publication first."""
    published = [(str(row["published_at"]), str(row["version"])) for row in versions if row["published_at"]]
    return [version for _, version in sorted(published)]
