"""The result of one check."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"  # it works, and somebody should look at it
    FAILED = "failed"  # the agent, or a part of it, cannot work like this
    SKIPPED = "skipped"  # it cannot be said


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `advice` is what to do, empty where nothing is to be done."""

    check: str
    verdict: Verdict
    detail: str
    advice: str = ""


def ok(check: str, detail: str) -> Finding:
    """It is as it should be."""
    return Finding(check, Verdict.OK, detail)


def warning(check: str, detail: str, advice: str) -> Finding:
    """It works, and this should be looked at."""
    return Finding(check, Verdict.WARNING, detail, advice)


def failed(check: str, detail: str, advice: str) -> Finding:
    """It does not work, and this is to be done."""
    return Finding(check, Verdict.FAILED, detail, advice)


def skipped(check: str, detail: str) -> Finding:
    """It could not be checked, for this reason."""
    return Finding(check, Verdict.SKIPPED, detail)
