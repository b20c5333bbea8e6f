"""The agent's own comparison of versions, beside the package that does the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from semver import Version

from agent.trust.precedence import is_lower

NUMBER = st.integers(0, 12).map(str)
WORD = st.sampled_from(["a", "b", "rc", "rc1", "1a", "x-y"])
PRERELEASE = st.lists(NUMBER | WORD, min_size=1, max_size=3).map(".".join)
BUILD = st.sampled_from(["", "+7", "+a.b"])


@st.composite
def versions(draw: st.DrawFn) -> str:
    core = ".".join(draw(NUMBER) for _ in range(3))
    return core + draw(st.just("") | PRERELEASE.map(lambda one: f"-{one}")) + draw(BUILD)


@given(versions(), versions())
def test_order_is_that_of_the_package(one: str, other: str) -> None:
    assert is_lower(one, other) == (Version.parse(one) < Version.parse(other))


@pytest.mark.parametrize("odd", ["", "1", "1.2", "v1.2.3", "1.2.3-", "1.2.x", "newest", "1.2.3 ", "1" * 300])
def test_what_is_no_version_cannot_be_compared(odd: str) -> None:
    assert is_lower(odd, "1.0.0") is None
    assert is_lower("1.0.0", odd) is None
