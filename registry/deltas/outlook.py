"""What the planner has to know, read from the database, and the plan that comes of it. Writes nothing."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, Q, Sum
from django.utils import timezone

from registry.deltas.expectation import Expected, History, Kind, Measured, Unbuilt, likeness
from registry.deltas.formats import BUILT_FORMAT, default_effort
from registry.deltas.planning import Budget, Holders, Known, Pair, Plan, Wanted, plan_patches
from registry.models import Artifact, Patch, Variant

State = Patch.State
_PENDING = (State.WANTED, State.BUILDING)
_HISTORY = 500
_DAY = timedelta(days=1)
_NAMELESS = Kind(0, 0, "")
"""An artifact that is no variant (any more)."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """A plan, and the budget it was made with.

    Attributes:
        artifacts: by digest, the models that stand in the plan.
        standing: what deltas may take in the store, and workers' seconds in any 24 hours.
        used: of it, by what is built and by what is on its way.
        left: what this plan could spend.
    """

    plan: Plan
    artifacts: Mapping[str, Artifact]
    standing: Budget
    used: Budget
    left: Budget


def outlook(
    wanted: Iterable[Wanted], *, storage_bytes: float | None = None, build_s: float | None = None, effort: str = ""
) -> Outlook:
    """The plan for these targets. Six queries, however many.

    Args:
        wanted: the targets; one that comes twice is one with the holders of both.
        storage_bytes: what this plan may spend in the store; None is what the standing budget has left.
        build_s: likewise of workers' seconds.
        effort: make with this one, also again what was made with less; empty for what the encoder takes by itself.
    """
    merged = _merged(wanted)
    artifacts = _models({digest for one in merged for digest in _digests(one)})
    known, pending = _known([one.target for one in merged])
    expectations = _Expectations(artifacts | _models(_ends(pending) - artifacts.keys()), known, effort)
    used = _used(expectations, pending)
    standing = standing_budget()
    left = Budget(
        standing.storage_bytes - used.storage_bytes if storage_bytes is None else storage_bytes,
        standing.build_s - used.build_s if build_s is None else build_s,
    )
    targets = [_only(one, artifacts) for one in merged if one.target in artifacts]
    plan = plan_patches(targets, known, expectations.expect, left, effort=effort)
    return Outlook(plan, artifacts, standing, used, left)


def standing_budget() -> Budget:
    """What deltas may take by the settings. Packed files are outside of it: every first install needs one, and deltas are judged by them."""
    return Budget(settings.SMALLFLEET_PATCH_BUDGET_MB * 1e6, settings.SMALLFLEET_PATCH_BUDGET_S)


def _merged(wanted: Iterable[Wanted]) -> list[Wanted]:
    by_target: dict[str, Wanted] = {}
    for one in wanted:
        other = by_target.get(one.target)
        by_target[one.target] = (
            one if other is None else replace(one, turn=min(one.turn, other.turn), holders=one.holders + other.holders)
        )
    return list(by_target.values())


def _digests(one: Wanted) -> set[str]:
    return {one.target}.union(*(holders.held for holders in one.holders))


def _only(one: Wanted, artifacts: Collection[str]) -> Wanted:
    """Without what the registry does not know: nothing can be made from it."""
    holders = tuple(Holders(holders.held & set(artifacts), holders.devices) for holders in one.holders)
    return replace(one, holders=holders)


def _models(digests: Collection[str]) -> dict[str, Artifact]:
    if not digests:
        return {}
    models = Artifact.objects.filter(sha256__in=digests, kind=Artifact.Kind.MODEL)
    return {artifact.sha256: artifact for artifact in models.defer("static_cost")}


def _ends(pairs: Iterable[Pair]) -> set[str]:
    return {digest for pair in pairs for digest in pair if digest is not None}


def _known(targets: Sequence[str]) -> tuple[dict[Pair, Known], list[Pair]]:
    """What stands of each pair of these targets, and the deltas to any target that are on their way.

    A patch in the format that is built counts before one of an older format, and that only where it is ready.
    """
    rows = (
        Patch.objects.filter(Q(target__sha256__in=targets) | Q(state__in=_PENDING))
        .filter(Q(patch_format=BUILT_FORMAT) | Q(patch_format__lt=BUILT_FORMAT, state=State.READY))
        .exclude(state=State.RETIRED)
        .order_by("patch_format", "id")
        .values_list("base__sha256", "target__sha256", "state", "size_bytes", "effort", "failure")
    )
    known = {
        Pair(base, target): Known(state, size_bytes, effort, failure)
        for base, target, state, size_bytes, effort, failure in rows
    }
    pending = [pair for pair, one in known.items() if one.state in _PENDING and pair.base is not None]
    return known, pending


def _used(expectations: "_Expectations", pending: Iterable[Pair]) -> Budget:
    """What deltas take in the store and took of the last 24 hours, with what those on their way are expected to."""
    deltas = Patch.objects.exclude(base=None)
    sums = deltas.aggregate(
        stored=Sum("size_bytes", filter=Q(state=State.READY), default=0),
        built_s=Sum("build_s", filter=Q(built_at__gt=timezone.now() - _DAY), default=0.0),
    )
    coming = [expectations.expect(pair, None) for pair in pending]
    return Budget(
        sums["stored"] + sum(one.size_bytes for one in coming), sums["built_s"] + sum(one.build_s for one in coming)
    )


class _Expectations:
    """What is expected of pairs of these artifacts."""

    def __init__(self, artifacts: Mapping[str, Artifact], known: Mapping[Pair, Known], effort: str) -> None:
        rows = _measured_rows()
        ids = {pk for row in rows for pk in row[:2] if pk is not None}
        kinds = _kinds(ids | {artifact.pk for artifact in artifacts.values()})
        self._artifacts, self._known, self._effort, self._kinds = artifacts, known, effort, kinds
        self._history = History(_measured(row, kinds) for row in rows)

    def expect(self, pair: Pair, again: Known | None) -> Expected:
        """Of a pair that has no patch; with `again`, of one whose patch would be made again."""
        unbuilt = self._unbuilt(pair)
        if again is not None and again.size_bytes is not None:
            return self._history.expect_again(unbuilt, again.size_bytes)
        return self._history.expect(unbuilt)

    def _unbuilt(self, pair: Pair) -> Unbuilt:
        target = self._artifacts[pair.target]
        base = None if pair.base is None else self._artifacts[pair.base]
        base_kind, target_kind = _kinds_of_pair(self._kinds, base.pk if base else None, target.pk)
        return Unbuilt(
            base_kind,
            base.size_bytes if base else 0,
            target_kind,
            target.size_bytes,
            self._effort or default_effort(target.size_bytes),
            self._packed_bytes(pair.target) if base else 0,
        )

    def _packed_bytes(self, target: str) -> int:
        packed = Pair(None, target)
        known = self._known.get(packed)
        return known.size_bytes if known and known.size_bytes else self.expect(packed, None).size_bytes


_MeasuredRow = tuple[int | None, int, str, int, int | None, int, float | None]


def _measured_rows() -> list[_MeasuredRow]:
    """The newest patches of the format that is built, kept or not: base, target, effort, bytes of both and of the patch, seconds."""
    made = Patch.objects.filter(state__in=[State.READY, State.USELESS, State.RETIRED], size_bytes__isnull=False)
    rows: Iterable[Any] = (
        made.filter(patch_format=BUILT_FORMAT, target__size_bytes__gt=0)
        .order_by(F("built_at").desc(nulls_last=True), "-id")
        .values_list("base", "target", "effort", "target__size_bytes", "base__size_bytes", "size_bytes", "build_s")[
            :_HISTORY
        ]
    )
    return list(rows)


def _measured(row: _MeasuredRow, kinds: Mapping[int, Sequence[Kind]]) -> Measured:
    base, target, effort, target_bytes, base_bytes, patch_bytes, build_s = row
    alike = likeness(*_kinds_of_pair(kinds, base, target))
    return Measured(alike, effort, (base_bytes or 0) + target_bytes, target_bytes, patch_bytes, build_s)


def _kinds(artifact_ids: Collection[int]) -> dict[int, list[Kind]]:
    """What each artifact is; the same bytes may be several variants."""
    kinds: defaultdict[int, list[Kind]] = defaultdict(list)
    rows = Variant.objects.filter(artifact__in=artifact_ids).order_by("id")
    for artifact, line, version, name in rows.values_list("artifact", "version__model_line", "version", "name"):
        kinds[artifact].append(Kind(line, version, name))
    return kinds


def _kinds_of_pair(kinds: Mapping[int, Sequence[Kind]], base: int | None, target: int) -> tuple[Kind | None, Kind]:
    """The target's first name, and of the base's names one in the same line where there is one."""
    target_kind = next(iter(kinds.get(target, ())), _NAMELESS)
    if base is None:
        return None, target_kind
    names = kinds.get(base, ())
    return next((kind for kind in names if kind.line == target_kind.line), next(iter(names), _NAMELESS)), target_kind
