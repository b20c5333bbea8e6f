"""What signed metadata allows: pure functions of what was verified, what is wanted and the time.

Nothing of the poll answer but the wanted digest has a say here, so a server can only ever delay.
"""

from dataclasses import dataclass
from datetime import datetime

from agent.trust.precedence import is_lower
from agent.trust.verified import Verified
from agent.wire import Target, Wanted

EXPIRED, NOT_SIGNED, DOWNGRADE = "metadata-expired", "not-signed", "downgrade"
DEVICE_CLASS, REFUSED, TOO_LARGE = "device-class", "metadata-refused", "too-large"


@dataclass(frozen=True, slots=True)
class Denied:
    """A rule of trust that keeps a model off this device, in words that stay the same while nothing changes."""

    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Trusted:
    """All that is known when trust is judged.

    Attributes:
        at: the time, which no wall clock set back has made earlier.
        installed: the version of the model in service; None where there is none.
        news: why the last news from the server was refused; None where it was not.
    """

    verified: Verified | None
    at: datetime
    device_class: str
    max_artifact_bytes: int
    installed: str | None = None
    news: Denied | None = None


def concern(trusted: Trusted) -> Denied | None:
    """What is wrong with the metadata, whatever is wanted: it is told of by a device that has nothing to do, too."""
    if trusted.verified is not None and trusted.verified.is_expired(trusted.at):
        ended = trusted.verified.expires_at.isoformat().replace("+00:00", "Z")
        return trusted.news or Denied(EXPIRED, f"signed metadata ended {ended}")
    return trusted.news


def judge(trusted: Trusted, wanted: Wanted, *, previous: str | None) -> Target | Denied:
    """The signed target with the wanted bytes, or the rule that forbids it. `previous` is what a step back leads to."""
    worry = concern(trusted)
    if worry is not None:
        return worry
    target = None if trusted.verified is None else trusted.verified.find(wanted)
    if target is None:
        return Denied(NOT_SIGNED, f"{wanted.sha256} is in no signed metadata of this line")
    if target.device_classes and trusted.device_class not in target.device_classes:
        classes = ", ".join(target.device_classes)
        return Denied(DEVICE_CLASS, f"{target.path} is signed for {classes}, this device is a {trusted.device_class}")
    if target.size_bytes > trusted.max_artifact_bytes:
        most = trusted.max_artifact_bytes
        return Denied(TOO_LARGE, f"{target.path} has {target.size_bytes} bytes, this device takes at most {most}")
    higher = None if target.sha256 == previous or target.downgrade else _higher(target, trusted, previous)
    if higher is not None:
        return Denied(DOWNGRADE, f"{target.path} is lower than {higher}, and not signed as a downgrade")
    return target


def _higher(target: Target, trusted: Trusted, previous: str | None) -> str | None:
    """The version in service, if the target is lower than that; else the previous one, as long as a publisher lets it live.

    Without the second a server could order a step back, and from there anything in between. What cannot be compared counts as
    lower: only what is known to be no step back is none.
    """
    live = () if trusted.verified is None else trusted.verified.targets
    versions = [trusted.installed, *(one.version for one in live if one.sha256 == previous)]
    lower_than = (one for one in versions if one is not None and one != target.version)
    return next((one for one in lower_than if is_lower(target.version, one) is not False), None)
