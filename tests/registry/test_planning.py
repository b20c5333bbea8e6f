"""Which patches are built: what is expected of a pair, and what a budget buys. Tables of values, and properties of any plan."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.deltas.expectation import (
    PRIOR_MORE_EFFORT,
    PRIOR_OTHER_LINE,
    PRIOR_PACKED,
    PRIOR_SAME_LINE,
    PRIOR_SAME_VARIANT,
    PRIOR_SAME_WEIGHTS,
    Expected,
    History,
    Kind,
    Measured,
    Unbuilt,
    likeness,
)
from registry.deltas.planning import Budget, Holders, Known, Pair, Plan, Status, Wanted, plan_patches

V1, V2, V3 = Kind(1, 1, "fp32"), Kind(1, 2, "fp32"), Kind(1, 3, "fp32")
V1_INT8, V2_INT8 = Kind(1, 1, "int8"), Kind(1, 2, "int8")
STRANGER = Kind(2, 9, "fp32")
MB = 10**6


def unbuilt(base: Kind | None, target: Kind, **changes: Any) -> Unbuilt:
    sizes: dict[str, Any] = {"base_bytes": 0 if base is None else MB, "target_bytes": MB, "effort": "max"}
    return Unbuilt(base=base, target=target, **(sizes | {"packed_bytes": 900_000} | changes))


def measured(base: Kind | None, target: Kind, patch_bytes: int, **changes: Any) -> Measured:
    fields: dict[str, Any] = {"effort": "max", "input_bytes": 2 * MB, "target_bytes": MB, "build_s": 4.0}
    return Measured(likeness(base, target), patch_bytes=patch_bytes, **(fields | changes))


# --- What is expected -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "target", "changes", "size_bytes"),
    [
        (None, V2, {}, PRIOR_PACKED * MB),
        (V1, V2, {}, PRIOR_SAME_VARIANT * 900_000),
        (V1, V1_INT8, {"target_bytes": 250_000}, PRIOR_SAME_WEIGHTS * 900_000),
        (V1_INT8, V1, {"base_bytes": 250_000}, PRIOR_SAME_LINE * 900_000),
        (V1, V2_INT8, {"target_bytes": 250_000}, PRIOR_SAME_LINE * 900_000),
        (STRANGER, V2, {}, PRIOR_OTHER_LINE * 900_000),
    ],
)
def test_pair_without_history_is_expected_by_the_prior(
    base: Kind | None, target: Kind, changes: dict[str, Any], size_bytes: float
) -> None:
    expected = History([]).expect(unbuilt(base, target, **changes))
    assert (expected.size_bytes, expected.alike) == (round(size_bytes), 0)


def test_alike_pairs_are_asked_before_the_prior_and_their_median_counts() -> None:
    history = History([measured(V1, V2, size) for size in (300_000, 310_000, 900_000)])
    assert history.expect(unbuilt(V2, V3, target_bytes=2 * MB)) == Expected(620_000, 6.0, 3)


@pytest.mark.parametrize(
    ("base", "target"),
    [(V1_INT8, V2_INT8), (V1, V2_INT8), (None, V2), (STRANGER, V2), (V2, Kind(1, 2, "fp16"))],
)
def test_other_lines_other_variants_and_the_same_version_are_not_alike(base: Kind | None, target: Kind) -> None:
    assert History([measured(V1, V2, 300_000)]).expect(unbuilt(base, target)).alike == 0


def test_pairs_of_another_effort_tell_the_size_where_there_is_none_of_this_one() -> None:
    fast = [measured(V1, V2, 400_000, effort="fast", build_s=0.2)]
    assert History(fast).expect(unbuilt(V2, V3)).size_bytes == 400_000
    assert History([*fast, measured(V1, V2, 350_000)]).expect(unbuilt(V2, V3)).size_bytes == 350_000


def test_speed_is_that_of_alike_pairs_then_of_any_then_the_prior() -> None:
    other = measured(V1_INT8, V2_INT8, 100_000, build_s=1.0)
    assert History([other]).expect(unbuilt(V1, V2)).build_s == 1.0
    assert History([other, measured(V1, V2, 300_000)]).expect(unbuilt(V1, V2)).build_s == 4.0
    assert History([other]).expect(unbuilt(V1, V2, effort="fast")).build_s == pytest.approx(1.1)
    assert History([]).expect(unbuilt(V1, V2)).build_s == 3.0


def test_only_the_newest_alike_pairs_are_asked() -> None:
    history = [measured(V1, V2, 300_000)] * 20 + [measured(V1, V2, 800_000)] * 100
    assert History(history).expect(unbuilt(V1, V2)).size_bytes == 300_000


def test_patch_made_again_is_never_expected_larger_than_it_is() -> None:
    assert History([]).expect_again(unbuilt(V1, V2), 500_000).size_bytes == PRIOR_MORE_EFFORT * 500_000
    history = History([measured(V1, V2, 600_000)])
    assert history.expect_again(unbuilt(V1, V2), 500_000).size_bytes == 500_000
    assert history.expect_again(unbuilt(V1, V2), 700_000).size_bytes == 600_000


# --- What is planned ------------------------------------------------------------------------------------------------

OLD, OLDER, NEW, NEXT = "old", "older", "new", "next"
PLENTY = Budget(10**12, 10**9)
RAW, PACKED_BYTES = 1000, 900
Sizes = dict[tuple[str | None, str], tuple[int, float]]


def wanted(target: str = NEW, *, turn: int = 1, **holders: int) -> Wanted:
    """A target of 1000 bytes; `old=3` are three devices that hold OLD, `old_older=1` is one that holds both, `nothing=2` hold nothing."""
    held = {"old": {OLD}, "older": {OLDER}, "old_older": {OLD, OLDER}, "nothing": set[str](), "there": {NEW}}
    return Wanted(target, RAW, turn, tuple(Holders(frozenset(held[name]), count) for name, count in holders.items()))


def planned(
    targets: list[Wanted],
    sizes: Sizes,
    known: dict[tuple[str | None, str], Known] | None = None,
    left: Budget = PLENTY,
    effort: str = "",
) -> Plan:
    """The plan where each pair is expected as `sizes` says (bytes, seconds), and packed files are there."""
    packed = {Pair(None, one.target): Known("ready", PACKED_BYTES, "max") for one in targets}
    pairs = packed | {Pair(*pair): one for pair, one in (known or {}).items()}

    def expect(pair: Pair, again: Known | None) -> Expected:
        return Expected(*sizes.get(pair, (PACKED_BYTES, 1.0)), alike=1)

    return plan_patches(targets, pairs, expect, left, effort=effort)


def statuses(plan: Plan) -> dict[tuple[str | None, str], str]:
    return {(pair.base, pair.target): str(one.status) for pair, one in plan.pairs.items() if pair.base is not None}


def asked(plan: Plan) -> list[tuple[str | None, str]]:
    return [(pair.base, pair.target) for pair in plan.to_ask]


@pytest.mark.parametrize(
    ("known", "status", "size_bytes"),
    [
        (Known("ready", 300, "max"), Status.BUILT, 300),
        (Known("ready", 950, "max"), Status.NOT_WORTH_IT, 950),  # packed has 900
        (Known("useless", 1100, "max"), Status.NOT_WORTH_IT, 1100),
        (Known("building"), Status.BUILDING, None),
        (Known("wanted"), Status.PLANNED, None),
        (Known("failed", failure="no memory"), Status.FAILED, None),
    ],
)
def test_what_was_made_or_asked_for_stands_in_the_plan_and_is_not_asked_for_again(
    known: Known, status: Status, size_bytes: int | None
) -> None:
    plan = planned([wanted(old=3)], {(OLD, NEW): (400, 1)}, {(OLD, NEW): known})
    one = plan.pairs[Pair(OLD, NEW)]
    assert (one.status, one.size_bytes, one.devices) == (status, size_bytes, 3)
    assert plan.to_ask == ()
    assert one.reason or status not in {Status.FAILED, Status.NOT_WORTH_IT}


@pytest.mark.parametrize(
    ("sizes", "status", "words"),
    [
        ({(OLD, NEW): (400, 1)}, "planned", ""),
        ({(OLD, NEW): (900, 1)}, "not-worth-it", "900 B expected, packed has 900 B"),
        ({(OLD, NEW): (400, 31)}, "over-budget", "needs 400 B and 31 s; left are 500 B and 30 s"),
        ({(OLD, NEW): (501, 1)}, "over-budget", "needs 501 B and 1 s; left are 500 B and 30 s"),
        ({(OLD, NEW): (500, 30)}, "planned", ""),
    ],
)
def test_pair_is_planned_where_it_saves_bytes_and_fits(sizes: Sizes, status: str, words: str) -> None:
    plan = planned([wanted(old=1)], sizes, left=Budget(500, 30))
    assert statuses(plan) == {(OLD, NEW): status}
    assert plan.pairs[Pair(OLD, NEW)].reason == words


def test_empty_or_overdrawn_budget_buys_nothing() -> None:
    for left in (Budget(0, 0), Budget(-5, 100), Budget(100, -5)):
        assert statuses(planned([wanted(old=1)], {(OLD, NEW): (1, 1)}, left=left)) == {(OLD, NEW): "over-budget"}


def test_packed_file_is_always_asked_for_and_costs_the_budget_nothing() -> None:
    plan = plan_patches([wanted(nothing=2)], {}, lambda _pair, _known: Expected(900, 5, 0), Budget(0, 0))
    assert asked(plan) == [(None, NEW)]
    assert plan.pairs[Pair(None, NEW)].devices == 2
    assert plan.spends == Budget(0, 0)


def test_what_is_built_says_what_it_saves() -> None:
    plan = planned([wanted(old=3, nothing=2)], {}, {(OLD, NEW): Known("ready", 300, "max")})
    assert plan.pairs[Pair(OLD, NEW)].saved_bytes == 3 * (PACKED_BYTES - 300)
    assert plan.pairs[Pair(None, NEW)].saved_bytes == 2 * (RAW - PACKED_BYTES)


def test_more_devices_come_first_when_the_budget_is_for_one() -> None:
    sizes: Sizes = {(OLD, NEW): (400, 1), (OLDER, NEW): (300, 1)}
    plan = planned([wanted(old=10, older=2)], sizes, left=Budget(400, 10))
    assert statuses(plan) == {(OLD, NEW): "planned", (OLDER, NEW): "over-budget"}
    assert plan.spends == Budget(400, 1)


def test_slow_build_gives_way_to_two_quick_ones_that_save_more() -> None:
    sizes: Sizes = {(OLD, NEW): (100, 10), (OLD, NEXT): (300, 5), (OLDER, NEXT): (300, 5)}
    plan = planned([wanted(old=4), wanted(NEXT, old=3, older=3)], sizes, left=Budget(10**6, 10))
    assert statuses(plan)[OLD, NEW] == "over-budget"
    assert asked(plan) == [(OLD, NEXT), (OLDER, NEXT)]


def test_smaller_one_fills_what_the_one_before_it_left() -> None:
    sizes: Sizes = {(OLD, NEW): (400, 1), (OLDER, NEW): (450, 1), (OLD, NEXT): (100, 1)}
    plan = planned([wanted(old=10, older=8), wanted(NEXT, old=1)], sizes, left=Budget(500, 100))
    assert statuses(plan) == {(OLD, NEW): "planned", (OLDER, NEW): "over-budget", (OLD, NEXT): "planned"}


def test_target_of_a_running_rollout_comes_before_what_saves_more() -> None:
    sizes: Sizes = {(OLD, NEW): (800, 1), (OLD, NEXT): (100, 1)}
    plan = planned([wanted(old=1, turn=0), wanted(NEXT, old=1000)], sizes, left=Budget(800, 10))
    assert statuses(plan) == {(OLD, NEW): "planned", (OLD, NEXT): "over-budget"}


def test_second_base_of_a_device_saves_only_what_the_first_left() -> None:
    sizes: Sizes = {(OLD, NEW): (300, 1), (OLDER, NEW): (500, 1)}
    plan = planned([wanted(old_older=5)], sizes)
    assert statuses(plan) == {(OLD, NEW): "planned", (OLDER, NEW): "not-worth-it"}
    assert plan.pairs[Pair(OLDER, NEW)].reason == "every device that holds it has a way as short"
    plan = planned([wanted(old_older=5, older=1)], sizes)
    assert plan.pairs[Pair(OLDER, NEW)].saved_bytes == PACKED_BYTES - 500


def test_patch_that_is_on_its_way_counts_like_one_that_is_there() -> None:
    sizes: Sizes = {(OLD, NEW): (300, 1), (OLDER, NEW): (500, 1)}
    for known in (Known("wanted"), Known("building"), Known("ready", 300, "max")):
        assert statuses(planned([wanted(old_older=5)], sizes, {(OLD, NEW): known}))[OLDER, NEW] == "not-worth-it"
    failed = planned([wanted(old_older=5)], sizes, {(OLD, NEW): Known("failed", failure="no memory")})
    assert statuses(failed)[OLDER, NEW] == "planned"


def test_device_that_is_there_wants_nothing() -> None:
    plan = planned([wanted(there=7)], {})
    assert statuses(plan) == {}


def test_savings_are_counted_against_the_plain_file_where_packed_failed() -> None:
    plan = planned([wanted(old=2)], {(OLD, NEW): (400, 1)}, {(None, NEW): Known("failed", failure="no memory")})
    assert plan.pairs[Pair(OLD, NEW)].saved_bytes == 2 * (RAW - 400)


@pytest.mark.parametrize(
    ("effort", "made_with", "expected_bytes", "is_asked"),
    [
        ("max", "fast", 300, True),
        ("max", "max", 300, False),
        ("", "fast", 300, False),
        ("max", "fast", 400, False),
        ("fast", "max", 300, False),
    ],
)
def test_built_patch_is_made_again_with_more_effort_only_when_asked_and_smaller(
    effort: str, made_with: str, expected_bytes: int, *, is_asked: bool
) -> None:
    known: dict[tuple[str | None, str], Known] = {(OLD, NEW): Known("ready", 400, made_with)}
    plan = planned([wanted(old=1)], {(OLD, NEW): (expected_bytes, 1)}, known, effort=effort)
    assert asked(plan) == ([(OLD, NEW)] if is_asked else [])
    assert statuses(plan) == {(OLD, NEW): "planned" if is_asked else "built"}


def test_plan_is_the_same_in_whatever_order_it_is_told() -> None:
    chance = random.Random(7)  # noqa: S311 - the order of a test
    targets = [wanted(f"{NEW} {number}", old=3, older=3, old_older=1, nothing=1) for number in range(6)]
    sizes: Sizes = {
        (base, one.target): (chance.choice([100, 400, 700]), 1.0) for one in targets for base in (OLD, OLDER)
    }
    first = planned(targets, sizes, left=Budget(1500, 5))
    assert 0 < len(first.to_ask) < len(sizes)
    for _ in range(5):
        chance.shuffle(targets)
        again = planned(targets, sizes, left=Budget(1500, 5))
        assert (again.to_ask, dict(again.pairs)) == (first.to_ask, dict(first.pairs))


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Wanted], Sizes]:
    bases = [f"base {number}" for number in range(draw(st.integers(1, 4)))]
    groups = st.tuples(st.frozensets(st.sampled_from(bases), max_size=3), st.integers(1, 50))
    targets = [
        Wanted(
            f"target {number}",
            RAW,
            draw(st.integers(0, 2)),
            tuple(Holders(*one) for one in draw(st.lists(groups, max_size=5))),
        )
        for number in range(draw(st.integers(1, 3)))
    ]
    costs = st.tuples(st.integers(1, 1200), st.floats(0.1, 20))
    return targets, {(base, one.target): draw(costs) for one in targets for base in bases}


@given(fleet=fleets(), storage_bytes=st.integers(0, 3000), build_s=st.floats(0, 40))
def test_no_plan_overspends_and_every_choice_saves(
    fleet: tuple[list[Wanted], Sizes], storage_bytes: int, build_s: float
) -> None:
    targets, sizes = fleet
    plan = planned(targets, sizes, left=Budget(storage_bytes, build_s))
    bought = [pair for pair in plan.to_ask if pair.base is not None]
    assert sum(sizes[pair][0] for pair in bought) <= storage_bytes
    assert sum(sizes[pair][1] for pair in bought) <= build_s + 1e-6
    for pair, one in plan.pairs.items():
        if pair.base is None:
            continue
        assert (one.status == Status.PLANNED) == (pair in bought)
        assert (one.saved_bytes > 0) == (one.status in {Status.PLANNED, Status.OVER_BUDGET})
        assert bool(one.reason) == (one.status in {Status.OVER_BUDGET, Status.NOT_WORTH_IT})


@given(fleet=fleets())
def test_unbounded_budget_brings_every_device_its_shortest_way(fleet: tuple[list[Wanted], Sizes]) -> None:
    targets, sizes = fleet
    plan = planned(targets, sizes)
    for one in targets:
        for holders in one.holders:
            ways = {base: sizes[base, one.target][0] for base in holders.held}
            built = [ways[base] for base in ways if Pair(base, one.target) in plan.to_ask]
            assert min([PACKED_BYTES, *built]) == min([PACKED_BYTES, *ways.values()])
