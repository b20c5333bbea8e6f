"""Nothing is absent without its reason."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report import Absent, null_pointers, settle, unsettle

leaves = st.sampled_from([0, 1.5, "text", True, Absent("no sensor"), Absent("too few")])
keys = st.sampled_from(["a", "b/c", "~d"])
trees = st.dictionaries(
    keys,
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2), max_leaves=8
    ),
)


@given(trees)
def test_every_null_has_one_reason_and_every_reason_a_null(tree: dict[str, Any]) -> None:
    report = settle(tree)

    assert null_pointers(report) == set(report["reasons"])


@given(trees)
def test_unsettled_report_settles_to_the_same(tree: dict[str, Any]) -> None:
    assert unsettle(settle(tree)) == tree
    assert settle(unsettle(settle(tree))) == settle(tree)


def test_absence_becomes_null_with_its_reason_under_the_pointer() -> None:
    report = settle({"energy": Absent("no sensor"), "a/b": {"~": [1, Absent("too few")]}})

    assert report == {
        "energy": None,
        "a/b": {"~": [1, None]},
        "reasons": {"/energy": "no sensor", "/a~1b/~0/1": "too few"},
    }


def test_bare_none_is_refused() -> None:
    with pytest.raises(ValueError, match="/memory/peak is None"):
        settle({"memory": {"peak": None}})


def test_zero_stays_a_measured_zero() -> None:
    assert settle({"wraps": 0}) == {"wraps": 0, "reasons": {}}
