"""When a delivery that failed is tried again. Pure."""

from datetime import datetime, timedelta

GIVE_UP_AFTER = timedelta(days=1)
FIRST_WAIT = timedelta(seconds=10)
GROWTH = 3
LONGEST_WAIT = timedelta(hours=2)
JITTER = 0.25


def next_try(failures: int, *, failed_at: datetime, give_up_at: datetime, random: float) -> datetime | None:
    """When to try again after so many failures; None is never.

    10 s, 30 s, 90 s, … up to 2 h, each ± 25 %, so that a receiver that comes back is not met by all at once.

    Args:
        failures: 1 or more.
        failed_at: when the last try ended.
        give_up_at: no try is made later.
        random: from 0 to 1.
    """
    # The exponent is bounded: a power of some hundred would be no time any more.
    wait = min(FIRST_WAIT * GROWTH ** min(failures - 1, 20), LONGEST_WAIT)
    at = failed_at + wait * (1 - JITTER + 2 * JITTER * random)
    return at if at <= give_up_at else None
