"""The same stand-in server and enrolled device as the agent's tests have, and the counting of cases for the matrix."""

from collections.abc import Callable

import pytest

from tests.agent.conftest import device, server

__all__ = ["count_cases", "device", "server"]


@pytest.fixture
def count_cases(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Tell `tests.faults.matrix` how many cases a test went through, where it is more than one."""
    return lambda cases: record_property("cases", cases)
