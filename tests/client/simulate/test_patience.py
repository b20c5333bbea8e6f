"""Asking a busy server again, before and after a simulation."""

import pytest

from agent.errors import RequestRefused, ServerUnavailable
from client.simulate.patience import TRIES, patiently


class Busy:
    """A server that is busy for a while."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures, self.asked = failures, 0
        self.error = error or ServerUnavailable("503", retry_after_s=7)

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise self.error
        return "taken"


def test_busy_server_is_asked_again_after_the_pause_that_it_wants() -> None:
    busy, pauses = Busy(3), list[float]()
    assert patiently(busy, sleep=pauses.append) == "taken"
    assert len(pauses) == 3
    assert min(pauses) >= 7


def test_server_that_stays_busy_is_given_up() -> None:
    busy = Busy(1000)
    with pytest.raises(ServerUnavailable):
        patiently(busy, sleep=lambda _seconds: None)
    assert busy.asked == TRIES


def test_refusal_is_final() -> None:
    busy = Busy(1000, RequestRefused(403, "enrollment-refused", "no"))
    with pytest.raises(RequestRefused):
        patiently(busy, sleep=lambda _seconds: None)
    assert busy.asked == 1
