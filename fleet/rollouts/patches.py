"""Asking the registry for the patches that the fleet will need: it knows what devices hold, the registry does not."""

from collections.abc import Iterable

from semver import Version as Semver

from fleet.rollouts.engine import LIVE
from fleet.rollouts.models import Rollout
from fleet.rollouts.queries import held_variants
from registry.deltas.formats import BUILT_FORMAT
from registry.deltas.services import request_patches
from registry.models import Artifact, ModelLine, Patch, Variant, Version

# Patches to variants that no rollout is for yet are made for this many of a line's newest versions: the ones that may be rolled out next.
PLANNED_VERSIONS = 2


def request_patches_to(*, variant: Variant) -> None:
    """Ask for the patches to one variant from everything that installations of its line hold."""
    line_id = variant.version.model_line_id
    held = held_variants(variant.version.model_line).get(line_id, set())
    _request([variant.artifact], held)


def plan_patches() -> None:
    """Ask for the patches that rollouts need, and the next ones may; asking again for what is there is harmless."""
    held = held_variants()
    for line in ModelLine.objects.filter(pk__in=held):
        _request(_targets(line), held[line.pk])


def _targets(line: ModelLine) -> list[Artifact]:
    open_states = (*LIVE, Rollout.State.DRAFT)
    rolling = Variant.objects.filter(version__model_line=line, rollouts__state__in=open_states)
    newest = Variant.objects.filter(version__in=_newest_versions(line))
    usable = (rolling | newest).exclude(version__state=Version.State.YANKED)
    return list(Artifact.objects.filter(variants__in=usable).distinct())


def _newest_versions(line: ModelLine) -> list[Version]:
    published = Version.objects.filter(model_line=line, state=Version.State.PUBLISHED)
    return sorted(published, key=lambda version: Semver.parse(version.version), reverse=True)[:PLANNED_VERSIONS]


def _request(targets: Iterable[Artifact], base_ids: Iterable[int]) -> None:
    """Ask for what was never asked for; the many times when there is nothing new this reads and takes no write lock."""
    bases = {base.pk: base for base in Artifact.objects.filter(pk__in=base_ids)}
    wanted = {target.pk: target for target in targets}
    asked = set(
        Patch.objects.filter(target__in=wanted, patch_format=BUILT_FORMAT).values_list("target", "base").distinct()
    )
    for pk, target in wanted.items():
        pairs: set[tuple[int, int | None]] = {(pk, base) for base in (None, *bases) if base != pk}
        if not pairs <= asked:
            request_patches(target=target, bases=[base for base in bases.values() if (pk, base.pk) not in asked])
