"""Which patches to build, from values: those that save the fleet most bytes within a budget of storage and of worker time.

A device fetches the smallest of the ways that it can use, so a patch saves what lies between that and the patch, and the second
base of a device saves only what the first one left. The choice is greedy: patches to targets of rollouts that run, then the most
bytes saved for the share of the budget that a patch takes, then the next one that still fits. That is not always the best set
(which would be a knapsack), but it is the same on every run, and each choice can be told in a sentence.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from registry.deltas.expectation import Expected
from registry.deltas.formats import less_than
from registry.models import Patch

State = Patch.State


class Pair(NamedTuple):
    """From what to what, by digest; `base` None is a packed file."""

    base: str | None
    target: str


class Status(StrEnum):
    """What the plan says of a pair."""

    BUILT = "built"
    BUILDING = "building"
    PLANNED = "planned"
    OVER_BUDGET = "over-budget"
    FAILED = "failed"
    NOT_WORTH_IT = "not-worth-it"


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent: bytes in the store and seconds of worker time. Less than 0 is nothing."""

    storage_bytes: float
    build_s: float


@dataclass(frozen=True, slots=True)
class Holders:
    """Devices that hold the same artifacts, of any model line."""

    held: frozenset[str]
    devices: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A target to which devices may be brought.

    Attributes:
        turn: those of a lower one are served first: 0 where a rollout brings devices there now.
        holders: the devices that would fetch it and read what is built.
    """

    target: str
    raw_bytes: int
    turn: int
    holders: tuple[Holders, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What was made of a pair, or asked for."""

    state: str
    size_bytes: int | None = None
    effort: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class PlannedPair:
    """What the plan says of one pair.

    Attributes:
        devices: of a delta, those that hold its base; of a packed file, those that hold nothing to start from.
        saved_bytes: over all devices, against what they would fetch without it.
        expected: of what is not built.
        reason: in words, where it is neither built nor on its way.
    """

    pair: Pair
    status: Status
    devices: int
    size_bytes: int | None = None
    saved_bytes: int = 0
    expected: Expected | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What stands of each pair, and what to ask for, in this order."""

    pairs: Mapping[Pair, PlannedPair]
    to_ask: tuple[Pair, ...]
    spends: Budget


Expect = Callable[[Pair, Known | None], Expected]


def plan_patches(
    wanted: Iterable[Wanted], known: Mapping[Pair, Known], expect: Expect, left: Budget, *, effort: str = ""
) -> Plan:
    """The plan for these targets.

    Args:
        wanted: the targets, each once.
        known: the pairs that were built or asked for, of any target.
        expect: what a pair that is not built will weigh and take; it is told of the patch that would be made again.
        left: what may still be spent.
        effort: patches that were made with less may be made again; empty for none.
    """
    places = [_Place(one, known, expect) for one in sorted(wanted, key=lambda one: one.target)]
    return _Planner(places, known, expect, left, effort).plan()


class _Place:
    """One target: the bases, and the fewest bytes that each of its holders needs by what is chosen so far."""

    def __init__(self, wanted: Wanted, known: Mapping[Pair, Known], expect: Expect) -> None:
        self.wanted = wanted
        self.holders = [holders for holders in wanted.holders if wanted.target not in holders.held]
        self.packed_bytes = self._weight(Pair(None, wanted.target), known, expect, asked_for_anyway=True)
        self.fallback_bytes = min(wanted.raw_bytes, self.packed_bytes or wanted.raw_bytes)
        self._needs = [self.fallback_bytes] * len(self.holders)
        for base in self.bases:
            weight = self._weight(Pair(base, wanted.target), known, expect)
            if weight is not None:
                self.choose(base, weight)

    @property
    def bases(self) -> list[str]:
        """What the holders hold."""
        return sorted({base for holders in self.holders for base in holders.held})

    def devices(self, base: str | None) -> int:
        """How many hold the base; for None, how many hold nothing."""
        return sum(holders.devices for holders in self.holders if (base in holders.held if base else not holders.held))

    def saves(self, base: str | None, size_bytes: int) -> int:
        """What a patch of this size saves beyond what is chosen already."""
        return sum(
            holders.devices * max(0, need - size_bytes)
            for holders, need in zip(self.holders, self._needs, strict=True)
            if base is None or base in holders.held
        )

    def choose(self, base: str | None, size_bytes: int) -> None:
        """Count on a patch of this size."""
        for place, holders in enumerate(self.holders):
            if base is None or base in holders.held:
                self._needs[place] = min(self._needs[place], size_bytes)

    @staticmethod
    def _weight(
        pair: Pair, known: Mapping[Pair, Known], expect: Expect, *, asked_for_anyway: bool = False
    ) -> int | None:
        """Bytes of a patch that is there or on its way; None of one that is not."""
        one = known.get(pair)
        if one is not None and one.state == State.READY:
            return one.size_bytes
        is_coming = one.state in {State.WANTED, State.BUILDING} if one is not None else asked_for_anyway
        return expect(pair, None).size_bytes if is_coming else None


class _Candidate(NamedTuple):
    """A pair that could be built; sorts by what to build first."""

    turn: int
    minus_worth: float
    order: tuple[str, str]
    saves: int
    place: _Place
    pair: Pair
    expected: Expected


class _Planner:
    def __init__(
        self, places: list[_Place], known: Mapping[Pair, Known], expect: Expect, left: Budget, effort: str
    ) -> None:
        self._places, self._known, self._expect, self._effort = places, known, expect, effort
        self._budget = left
        self._left_bytes, self._left_s = left.storage_bytes, left.build_s
        self._pairs: dict[Pair, PlannedPair] = {}
        self._to_ask: list[Pair] = []

    def plan(self) -> Plan:
        candidates: list[_Candidate] = []
        for place in self._places:
            for base in (None, *place.bases):
                pair = Pair(base, place.wanted.target)
                if self._is_open(pair):
                    candidates.append(self._candidate(place, pair))
                else:
                    self._pairs[pair] = self._settled(place, pair)
        self._spend(candidates)
        spent = Budget(self._budget.storage_bytes - self._left_bytes, self._budget.build_s - self._left_s)
        return Plan(self._pairs, tuple(self._to_ask), spent)

    def _is_open(self, pair: Pair) -> bool:
        """Whether it is the plan's to decide: nothing was made of it yet, or it was made with less than this effort."""
        one = self._known.get(pair)
        if one is None:
            return pair.base is not None
        return bool(self._effort) and one.state == State.READY and one.effort in less_than(self._effort)

    def _settled(self, place: _Place, pair: Pair) -> PlannedPair:
        devices = place.devices(pair.base)
        one = self._known.get(pair)
        if one is None:  # a packed file: what deltas are judged by, and every first install fetches
            self._to_ask.append(pair)
            return PlannedPair(pair, Status.PLANNED, devices, expected=self._expect(pair, None))
        if one.state in {State.WANTED, State.BUILDING}:
            status = Status.PLANNED if one.state == State.WANTED else Status.BUILDING
            return PlannedPair(pair, status, devices, expected=self._expect(pair, None))
        if one.state == State.FAILED:
            return PlannedPair(pair, Status.FAILED, devices, reason=one.failure)
        size_bytes = one.size_bytes or 0
        if one.state == State.READY and (pair.base is None or size_bytes < place.fallback_bytes):
            instead = place.wanted.raw_bytes if pair.base is None else place.fallback_bytes
            saved = devices * max(0, instead - size_bytes)
            return PlannedPair(pair, Status.BUILT, devices, size_bytes, saved)
        return PlannedPair(
            pair, Status.NOT_WORTH_IT, devices, size_bytes, reason=_no_gain(place, pair, size_bytes, "built")
        )

    def _candidate(self, place: _Place, pair: Pair) -> _Candidate:
        expected = self._expect(pair, self._known.get(pair))
        saves = place.saves(pair.base, expected.size_bytes)
        share = expected.size_bytes / max(self._budget.storage_bytes, 1) + expected.build_s / max(
            self._budget.build_s, 1
        )
        worth = saves / share if share else float(saves)
        order = (pair.target, pair.base or "")
        return _Candidate(place.wanted.turn, -worth, order, saves, place, pair, expected)

    def _spend(self, candidates: list[_Candidate]) -> None:
        """Take the best while they fit. What one saves only falls with what was taken before, so it is looked at again when its turn comes."""
        queue = [(candidate[:3], candidate) for candidate in candidates]
        heapq.heapify(queue)
        while queue:
            rank, candidate = heapq.heappop(queue)
            fresh = self._candidate(candidate.place, candidate.pair)
            if fresh[:3] != rank:
                heapq.heappush(queue, (fresh[:3], fresh))
            else:
                self._pairs[fresh.pair] = self._decided(fresh)

    def _decided(self, one: _Candidate) -> PlannedPair:
        place, pair, expected = one.place, one.pair, one.expected
        known = self._known.get(pair)
        is_there = known is not None and known.state == State.READY
        size_bytes = known.size_bytes if known else None
        found = PlannedPair(pair, Status.PLANNED, place.devices(pair.base), size_bytes, one.saves, expected)
        if not one.saves:
            if is_there:
                return self._settled(place, pair)
            return _changed(found, Status.NOT_WORTH_IT, _no_gain(place, pair, expected.size_bytes, "expected"))
        if expected.size_bytes > self._left_bytes or expected.build_s > self._left_s:
            if is_there:
                return self._settled(place, pair)
            return _changed(found, Status.OVER_BUDGET, self._lack(expected))
        self._left_bytes -= expected.size_bytes
        self._left_s -= expected.build_s
        place.choose(pair.base, expected.size_bytes)
        self._to_ask.append(pair)
        return found

    def _lack(self, expected: Expected) -> str:
        return (
            f"needs {expected.size_bytes:,} B and {expected.build_s:,.0f} s; "
            f"left are {max(0, self._left_bytes):,.0f} B and {max(0, self._left_s):,.0f} s"
        )


def _changed(one: PlannedPair, status: Status, reason: str) -> PlannedPair:
    return PlannedPair(one.pair, status, one.devices, one.size_bytes, one.saved_bytes, one.expected, reason=reason)


def _no_gain(place: _Place, pair: Pair, size_bytes: int, how: str) -> str:
    """Why a patch of this size, which is what is `built` or `expected`, saves nothing."""
    if size_bytes >= place.fallback_bytes:
        other = "packed" if place.packed_bytes and place.packed_bytes <= place.wanted.raw_bytes else "the plain file"
        if pair.base is None:
            other = "the plain file"
        return f"{size_bytes:,} B {how}, {other} has {place.fallback_bytes:,} B"
    return "every device that holds it has a way as short"
