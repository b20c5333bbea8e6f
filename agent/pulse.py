"""When the daemon last asked its server and how that ended, for `status` and `doctor`: a file that costs no flash.

An idle poll writes nothing below the state directory. So this lies in `runtime_dir`, which is memory (systemd's
`RuntimeDirectory=` makes it); where there is no such folder nothing is written, and `status` says that it does not know.
"""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent import disk, wire
from agent.clock import Instant
from agent.config import Config
from agent.errors import WireInvalid

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Polled:
    """How the last cycle ended: `result` is `answered`, or the slug of what went wrong; `wall_time` is for people."""

    at: Instant
    wall_time: str
    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the daemon did last, and when it means to do something next."""

    polled: Polled | None
    rests_since: Instant
    rests_for_s: float


def path_of(config: Config) -> Path:
    """The file of this agent; several agents of one machine have several state directories."""
    return config.runtime_dir / f"{hashlib.sha256(str(config.state_dir).encode()).hexdigest()[:16]}.json"


def write(config: Config, pulse: Pulse) -> None:
    """Leave the pulse, where there is a folder for it; that it cannot be written ends nothing."""
    if not config.runtime_dir.is_dir():
        return
    try:
        disk.replace_volatile(path_of(config), json.dumps(asdict(pulse)).encode())
    except OSError as error:
        log.warning("pulse_failed", extra={"why": str(error)})


def read(config: Config) -> Pulse | None:
    """The last pulse; `None` where there is none, or it is not ours."""
    try:
        document: Any = wire.parse_json(path_of(config).read_bytes(), "pulse")
        polled = document["polled"]
        return Pulse(
            None if polled is None else _polled(polled),
            _instant(document["rests_since"]),
            float(document["rests_for_s"]),
        )
    except (OSError, WireInvalid, KeyError, TypeError, ValueError):
        return None


def _polled(document: Any) -> Polled:
    words = (str(document[name]) for name in ("wall_time", "result", "detail"))
    return Polled(_instant(document["at"]), *words)


def _instant(document: Any) -> Instant:
    return Instant(str(document["boot_id"]), float(document["uptime_s"]))
