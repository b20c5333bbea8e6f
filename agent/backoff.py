"""How long to wait: after an answer, after a failure, after a refusal. Pure; randomness comes in as a function."""

from collections.abc import Callable

MAX_DELAY_S = 86_400.0
LEAST_DELAY_S = 1.0
# Whatever a server answers, it is not asked more often than this: each poll costs the link some 300 bytes, so one a second
# would be 26 MB a day. The device's owner may ask for more with poll_interval_s.
LEAST_ANSWERED_S = 5.0
FIRST_FAILURE_S = 5.0
MAX_FAILURE_S = 3600.0
# A refusal that is final (401, 403, 404 on poll) is not answered by asking again soon, only by somebody repairing it.
FIRST_REFUSAL_S = 900.0
UNAPPROVED_S = 300.0
JITTER = 0.1

Uniform = Callable[[float, float], float]


def interval_s(configured_s: float | None, answered_s: float) -> float:
    """The owner's interval if there is one, otherwise the server's within its bounds."""
    return configured_s or min(MAX_DELAY_S, max(LEAST_ANSWERED_S, answered_s))


def after_answer(interval_s: float, uniform: Uniform) -> float:
    """The interval ± 10 %, so that a fleet does not march in step; never below the least that applies to it."""
    least_s = LEAST_ANSWERED_S if interval_s >= LEAST_ANSWERED_S else LEAST_DELAY_S
    return max(least_s, interval_s * uniform(1 - JITTER, 1 + JITTER))


def after_failure(failures: int, retry_after_s: float | None, uniform: Uniform) -> float:
    """Exponential with full jitter, and never before the server's Retry-After.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(MAX_FAILURE_S, FIRST_FAILURE_S * 2.0 ** min(failures - 1, 16))
    delay = max(LEAST_DELAY_S, uniform(0, ceiling))
    return delay if retry_after_s is None else min(MAX_DELAY_S, retry_after_s + delay)


def while_unapproved(retry_after_s: float | None, uniform: Uniform) -> float:
    """A steady pause: a person is waited for, and asking costs little. What the server says, else five minutes."""
    return after_answer(interval_s(None, UNAPPROVED_S if retry_after_s is None else retry_after_s), uniform)


def after_refusal(refusals: int, uniform: Uniform) -> float:
    """Slow from the start, up to a day."""
    ceiling = min(MAX_DELAY_S, FIRST_REFUSAL_S * 2.0 ** min(refusals - 1, 16))
    return ceiling * uniform(1 - JITTER, 1)
