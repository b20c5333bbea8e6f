"""Commands of the local configuration around an activation; the server can neither set nor change them.

Each runs in a process group of its own with a time limit, with the working environment of a child: no credential in it. What it
prints last is in the log. This module runs them and says what came of it; `agent/activation.py` knows what follows from that.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent import children
from agent.config import Hooks
from agent.layout import LinePaths
from agent.wire import Target

# Exit codes of `pre_activate`, as sysexits.h has them; every other one is a hook that failed.
NOT_NOW = 75  # EX_TEMPFAIL
NEVER = 77  # EX_NOPERM
OUTPUT_SHOWN = 300

log = logging.getLogger(__name__)


class Hook(StrEnum):
    """When a command is called."""

    PRE_ACTIVATE = "pre_activate"
    POST_ACTIVATE = "post_activate"
    HEALTH = "health"


@dataclass(frozen=True, slots=True)
class Subject:
    """The model that a hook is about; without one (a first install was taken back) its fields are empty."""

    model: str
    paths: LinePaths
    sha256: str = ""
    version: str = ""
    variant: str = ""

    @classmethod
    def of_target(cls, model: str, paths: LinePaths, target: Target) -> "Subject":
        return cls(model, paths, target.sha256, target.version, target.variant)

    def variables(self) -> dict[str, str]:
        """What the hook finds in its environment."""
        return {
            "SMALLFLEET_MODEL": self.model,
            "SMALLFLEET_CURRENT": str(self.paths.current),
            "SMALLFLEET_SLOT": str(self.paths.slot(self.sha256)) if self.sha256 else "",
            "SMALLFLEET_SHA256": self.sha256,
            "SMALLFLEET_VERSION": self.version,
            "SMALLFLEET_VARIANT": self.variant,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What a hook answered. `exit_code` is `None` where it gave none; `reason` (a slug) and `detail` say why it is no yes."""

    exit_code: int | None
    reason: str
    detail: str

    @property
    def is_yes(self) -> bool:
        return self.exit_code == 0


def call(hook: Hook, command: Sequence[str], subject: Subject, limits: Hooks) -> Answer:
    """Run a hook to its end, or end it when its time is up; one that is not configured says yes."""
    if not command:
        return Answer(0, "", "")
    variables = {"SMALLFLEET_HOOK": hook.value, **subject.variables()}
    try:
        ended = children.run(command, timeout_s=limits.timeout_s, extra=variables)
    except OSError as error:
        answer = Answer(None, "hook-not-started", str(error))
    else:
        answer = _answer(ended, limits.timeout_s)
    fields = {"hook": hook.value, "model": subject.model, "sha256": subject.sha256, "exit_code": answer.exit_code}
    if answer.is_yes:
        log.info("hook_done", extra=fields)
    else:
        log.warning("hook_said_no", extra={**fields, "reason": answer.reason, "why": answer.detail})
    return answer


def _answer(ended: children.Ended, timeout_s: float) -> Answer:
    printed = _last_words(ended)
    if ended.returncode is None:
        return Answer(None, "hook-timeout", f"no answer within {timeout_s:g} s{printed}")
    if ended.returncode < 0:
        return Answer(None, "hook-crashed", f"killed by signal {-ended.returncode}{printed}")
    return Answer(ended.returncode, "hook-refused", f"exit {ended.returncode}{printed}")


def _last_words(ended: children.Ended) -> str:
    """The end of what a hook printed, on standard error or else on standard output, in one line."""
    words = " ".join((ended.stderr_end or ended.stdout.decode(errors="replace")).split())[-OUTPUT_SHOWN:]
    return f": {words}" if words else ""
