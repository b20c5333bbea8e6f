"""What a metric's name says about its values. The names of shares stand here alone: what is checked as a share is shown as one."""

import re

SHARES = frozenset({"accuracy", "agreement", "auc", "f1", "precision", "recall", "top1", "top5"})
PERCENT = 100


def is_share(metric: str) -> bool:
    """Whether values lie within 0 to 1: by the last word (`top1-accuracy`), or the one before `error` (`top1-error`)."""
    words = re.split(r"[-_.]", metric)
    if words[-1] == "error":
        words.pop()
    return bool(words) and words[-1] in SHARES


def share_refusal(metric: str, number: float) -> str | None:
    """Why `number` cannot be a value of `metric`, and what to send instead; None if it can."""
    if not is_share(metric) or 0 <= number <= 1:
        return None
    instead = f"; for {number:g} % send {number / PERCENT:g}" if 1 < number <= PERCENT else ""
    return f"{metric} is a share, from 0 to 1, and not {number:g}{instead}"
