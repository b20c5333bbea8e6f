"""What signed metadata of one model line says, once it was checked: the little of it that the daemon keeps in memory.

It comes from the checking child, and from the device's own disk; both are read as strictly as the wire.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from agent import wire
from agent.clock import Instant
from agent.errors import WireInvalid
from agent.trust.files import MAX_TARGETS
from agent.wire import Target, Wanted

# Renewed is what has lived for two thirds of its life; a clock that was wrong must not make that life longer than this.
LONGEST_LIFE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of the four roles' files."""

    root: int = 0
    timestamp: int = 0
    snapshot: int = 0
    targets: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """Metadata of one line that belongs together and whose signatures lead to the trusted root.

    `expires_at` is the earliest end of the four files, `online_expires_at` of timestamp and snapshot, `accepted_at` when they were
    checked.
    """

    versions: Versions
    expires_at: datetime
    online_expires_at: datetime
    accepted_at: datetime
    targets: tuple[Target, ...]

    def is_expired(self, at: datetime) -> bool:
        """Whether nothing new may be begun with it."""
        return at >= self.expires_at

    def is_aging(self, at: datetime) -> bool:
        """Whether less than a third is left of the life of what the server renews by itself."""
        life = min(self.online_expires_at - self.accepted_at, LONGEST_LIFE)
        return at >= self.online_expires_at - life / 3

    def find(self, wanted: Wanted) -> Target | None:
        """The signed target with the wanted bytes; of several versions with the same bytes the named one, else any of them."""
        same = [target for target in self.targets if target.sha256 == wanted.sha256]
        named = (target for target in same if target.path == wanted.path)
        return next(named, same[-1] if same else None)


@dataclass(frozen=True, slots=True)
class Floor:
    """A time that has passed for certain: when metadata was last found unexpired, and the moment that this was."""

    at: datetime
    moment: Instant

    def now(self, moment: Instant) -> datetime:
        """The earliest time that it can be: seconds since boot run on, whatever is done to the wall clock."""
        return self.at + timedelta(seconds=moment.since(self.moment))


def not_before(floor: Floor | None, wall: datetime, moment: Instant) -> datetime:
    """The time of the wall clock, which never goes back below what has passed."""
    return wall if floor is None else max(wall, floor.now(moment))


def parse(document: object, *, accepted_at: datetime) -> Verified:
    """Read what the child found.

    Raises:
        WireInvalid: a field is missing or wrong.
    """
    try:
        if not isinstance(document, dict):
            raise WireInvalid("what was verified must be an object")
        listed = document["targets"]
        if not isinstance(listed, list) or len(listed) > MAX_TARGETS:
            raise WireInvalid(f"targets must be a list of at most {MAX_TARGETS}")
        return Verified(
            versions=parse_versions(document["versions"]),
            expires_at=parse_time(document["expires_at"]),
            online_expires_at=parse_time(document["online_expires_at"]),
            accepted_at=accepted_at,
            targets=tuple(wire.parse_target(one, max_artifact_bytes=wire.ANY_SIZE) for one in listed),
        )
    except KeyError as error:
        raise WireInvalid(f"what was verified lacks {error}") from error


def parse_versions(document: Mapping[str, Any]) -> Versions:
    """Read the four versions.

    Raises:
        WireInvalid: one is no whole number.
    """
    numbers = {role: document.get(role) for role in ("root", "timestamp", "snapshot", "targets")}
    for role, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise WireInvalid(f"the version of {role} must be a whole number, is {str(number)[:80]!r}")
    return Versions(**numbers)  # type: ignore[arg-type]


def parse_time(value: object) -> datetime:
    """Narrow a value to an aware time in UTC.

    Raises:
        WireInvalid: it is none.
    """
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise WireInvalid(f"{str(value)[:80]!r} is no time") from error
