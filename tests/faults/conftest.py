"""The same stand-in server and enrolled device as the agent's tests have, and the counting of cases for the matrix."""

from collections.abc import Callable
from typing import Protocol

import pytest

from tests.agent.conftest import device, server

__all__ = ["CountCases", "count_cases", "device", "server"]


class CountCases(Protocol):
    """Says how many cases a test went through, and of how many points they are a sample."""

    def __call__(self, cases: int, *, points: int | None = None) -> None: ...


@pytest.fixture
def count_cases(record_property: Callable[[str, object], None]) -> CountCases:
    """Tell `tests.faults.matrix` what a test of many cases did."""

    def count(cases: int, *, points: int | None = None) -> None:
        record_property("cases", cases)
        if points is not None:
            record_property("points", points)

    return count
