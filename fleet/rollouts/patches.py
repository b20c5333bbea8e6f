"""Which patches the fleet needs, and asking the registry for them: it builds, but does not know what devices hold."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from semver import Version as Semver

from access.actors import Actor
from access.audit.recording import record_audit
from access.models import Scope
from fleet.devices.holdings import Holding, holdings_of
from fleet.devices.models import Installation
from fleet.rollouts.engine import LIVE
from fleet.rollouts.models import Rollout
from registry.deltas.formats import BUILT_FORMAT
from registry.deltas.outlook import Outlook, outlook
from registry.deltas.planning import Holders, Pair, Status, Wanted
from registry.deltas.services import request_patches, retire_deltas
from registry.models import Artifact, ModelLine, Patch, Variant, Version

PLANNED_VERSIONS = 2
"""Patches to variants that no rollout is for yet are planned for so many of a line's newest versions: they may be rolled out next."""

KEPT = timedelta(days=7)
"""No delta is retired before: a fleet may be enrolled, or a rollout planned, some days after its patches were built."""

ROLLING, NEXT, ELSE = 0, 1, 2
"""Whose turn it is: targets of rollouts that run, what may be rolled out next, and what somebody only wants to know the cost of."""

_OPEN = (Patch.State.READY, Patch.State.WANTED, Patch.State.BUILDING)


def request_patches_to(*, variant: Variant) -> None:
    """Ask for the patches to one variant, a rollout's, and to what else its line needs, within the standing budget."""
    _ask(line_outlook(variant.version.model_line))


def plan_patches() -> None:
    """Ask for what the standing budget buys all lines; asking again is harmless, and writes nothing where there is nothing new."""
    _ask(_whole_outlook())


def retire_patches() -> int:
    """Let go of the deltas that no device needs any more, so that the standing budget is for those that one does; returns how many."""
    return retire_deltas(needed=_whole_outlook().plan.pairs.keys(), built_before=timezone.now() - KEPT)


def _whole_outlook() -> Outlook:
    held = Installation.objects.filter(active=True, device__revoked_at=None).values("model_line")
    return outlook(one for line in ModelLine.objects.filter(pk__in=held) for one in wanted_of(line))


def order_patches(
    *,
    actor: Actor,
    model_line: ModelLine,
    storage_bytes: float | None = None,
    build_s: float | None = None,
    effort: str = "",
) -> Outlook:
    """Have the line's patches built now, within a budget of their own where one is given; returns the plan that was asked for.

    With `effort`, also those are made with it that wait already, and ready ones that were made with less are made again.

    Raises:
        PermissionRefused: the actor neither operates nor publishes the line.
    """
    if not actor.allows(Scope.PUBLISH, model=model_line.name):
        actor.requires(Scope.OPERATE, model=model_line.name)
    ordered = line_outlook(model_line, storage_bytes=storage_bytes, build_s=build_s, effort=effort)
    detail = {
        "patches": len(ordered.plan.to_ask),
        "budget_bytes": storage_bytes,
        "budget_s": build_s,
        "effort": effort,
    }
    with transaction.atomic():
        _ask(ordered, effort)
        record_audit(actor=actor, action="order_patches", subject=model_line.name, detail=detail)
    return ordered


def line_outlook(
    model_line: ModelLine,
    *,
    also: Iterable[Variant] = (),
    storage_bytes: float | None = None,
    build_s: float | None = None,
    effort: str = "",
) -> Outlook:
    """The plan of one line, by itself; `also` are further targets, which come last."""
    return outlook(wanted_of(model_line, also=also), storage_bytes=storage_bytes, build_s=build_s, effort=effort)


def wanted_of(model_line: ModelLine, *, also: Iterable[Variant] = ()) -> list[Wanted]:
    """The targets of the line, with the devices that would fetch them. Six queries."""
    targets = {variant.artifact: ELSE for variant in also} | _targets(model_line)
    if not targets:
        return []
    bases = Patch.objects.filter(target__in=targets, base__isnull=False, state__in=_OPEN)
    holdings = holdings_of(model_line=model_line, bases=set(bases.values_list("base__sha256", flat=True)))
    return [
        Wanted(artifact.sha256, artifact.size_bytes, turn, _holders(artifact.sha256, holdings))
        for artifact, turn in targets.items()
    ]


def _targets(model_line: ModelLine) -> dict[Artifact, int]:
    """What rollouts bring devices to, or may next, and whose turn each is; what a late device was told to go to counts as rolled out."""
    states = (*LIVE, Rollout.State.DRAFT)
    open_rollouts = Rollout.objects.filter(target__version__model_line=model_line, state__in=states)
    rolled = set(open_rollouts.order_by().values_list("target", "state"))
    usable = Variant.objects.filter(version__model_line=model_line).exclude(version__state=Version.State.YANKED)
    told = Installation.objects.filter(
        model_line=model_line, active=True, device__revoked_at=None, target__isnull=False
    )
    late = told.exclude(current=F("target__artifact")).order_by().values_list("target", flat=True).distinct()
    rolling = {variant for variant, state in rolled if state in LIVE} | set(late)
    variants = list(usable.select_related("artifact", "version").defer("artifact__static_cost").order_by("id"))
    newest = _newest_versions({variant.version for variant in variants})
    turns: dict[Artifact, int] = {}
    for variant in variants:
        if variant.pk in rolling:
            turns[variant.artifact] = ROLLING
        elif variant.version_id in newest or any(variant.pk == drafted for drafted, _ in rolled):
            turns.setdefault(variant.artifact, NEXT)
    return turns


def _newest_versions(versions: Iterable[Version]) -> set[int]:
    published = [version for version in versions if version.state == Version.State.PUBLISHED]
    ordered = sorted(published, key=lambda version: Semver.parse(version.version), reverse=True)
    return {version.pk for version in ordered[:PLANNED_VERSIONS]}


def _holders(target: str, holdings: Sequence[Holding]) -> tuple[Holders, ...]:
    """Who would have to fetch the target, and reads what is built."""
    counts: Counter[frozenset[str]] = Counter()
    for holding in holdings:
        if BUILT_FORMAT in holding.formats and target not in holding.held:
            counts[holding.held] += holding.count
    return tuple(Holders(held, count) for held, count in sorted(counts.items(), key=lambda each: sorted(each[0])))


def _ask(ordered: Outlook, effort: str = "") -> None:
    """Ask the registry for what the plan chose; with an effort, also for what waits already, to have it made with that."""
    by_target: defaultdict[str, list[Artifact | None]] = defaultdict(list)
    for pair in _chosen(ordered) if effort else ordered.plan.to_ask:
        by_target[pair.target].append(None if pair.base is None else ordered.artifacts[pair.base])
    for target, bases in by_target.items():
        request_patches(target=ordered.artifacts[target], bases=bases, effort=effort)


def _chosen(ordered: Outlook) -> Collection[Pair]:
    return [pair for pair, one in ordered.plan.pairs.items() if one.status == Status.PLANNED]
