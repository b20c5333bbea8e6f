"""Reads that join, sort or search. Lookups by name raise `NotFound`, so that views need not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet
from semver import Version as Semver

from access.actors import Actor
from access.errors import NotFound
from registry.errors import ArtifactUnknown
from registry.models import Artifact, Budget, Evaluation, ModelLine, Variant, Version
from registry.visibility import check_sees_line, sees_artifact


@dataclass(frozen=True, slots=True)
class LineSummary:
    """A model line in a list."""

    line: ModelLine
    latest_version: str | None
    version_count: int


@dataclass(frozen=True, slots=True)
class LineDetail:
    """A model line with its versions, highest first."""

    line: ModelLine
    versions: list[Version]


def by_precedence(versions: Iterable[Version]) -> list[Version]:
    """Versions from the highest to the lowest by semantic precedence (semver.org 2.0.0, item 11)."""
    return sorted(versions, key=lambda version: (Semver.parse(version.version), version.pk), reverse=True)


def versions_of(model_line: ModelLine) -> list[Version]:
    """All versions of a line with their variants, highest first."""
    return by_precedence(detailed_versions().filter(model_line=model_line))


def _latest(versions: Iterable[Version]) -> Version | None:
    published = by_precedence(version for version in versions if version.state == Version.State.PUBLISHED)
    final = [version for version in published if Semver.parse(version.version).prerelease is None]
    return next(iter(final or published), None)


def summaries(lines: Sequence[ModelLine]) -> list[LineSummary]:
    """The lines with their latest published version; one query for all."""
    by_line: dict[int, list[Version]] = {line.pk: [] for line in lines}
    for version in Version.objects.filter(model_line__in=lines):
        by_line[version.model_line_id].append(version)
    return [_summary(line, by_line[line.pk]) for line in lines]


def _summary(line: ModelLine, versions: list[Version]) -> LineSummary:
    latest = _latest(versions)
    return LineSummary(line, latest.version if latest else None, len(versions))


def line_with_versions(name: str, *, actor: Actor) -> LineDetail:
    """The line of this name with all that its page shows.

    Raises:
        NotFound: there is none that the actor may see.
    """
    line = get_model_line(name, actor=actor)
    return LineDetail(line, versions_of(line))


def detailed_versions() -> QuerySet[Version]:
    """Versions with everything that their page shows."""
    variants = Variant.objects.select_related("artifact", "base").prefetch_related(
        Prefetch("evaluations", Evaluation.objects.order_by("metric", "id"))
    )
    return Version.objects.select_related("model_line", "contract", "sample_set").prefetch_related(
        Prefetch("variants", variants)
    )


def get_model_line(name: str, *, actor: Actor) -> ModelLine:
    """The line of this name.

    Raises:
        NotFound: there is none that the actor may see.
    """
    check_sees_line(actor, name)
    line = ModelLine.objects.filter(name=name).first()
    if line is None:
        raise NotFound(f"there is no model line {name!r}")
    return line


def budget_of(model_line: ModelLine) -> Budget:
    """The budget of a line; of one that has none an empty one, which is not stored."""
    return Budget.objects.filter(model_line=model_line).first() or Budget(model_line=model_line)


def get_version(model: str, version: str, *, actor: Actor) -> Version:
    """The version with its variants and evaluations.

    Raises:
        NotFound: there is none that the actor may see.
    """
    check_sees_line(actor, model)
    found = detailed_versions().filter(model_line__name=model, version=version).first()
    if found is None:
        raise NotFound(f"there is no version {model}/{version}")
    return found


def get_variant(model: str, version: str, name: str, *, actor: Actor) -> Variant:
    """The variant with its artifact.

    Raises:
        NotFound: there is none that the actor may see.
    """
    check_sees_line(actor, model)
    found = (
        Variant.objects.select_related(
            "artifact", "base", "version__model_line", "version__contract", "version__sample_set"
        )
        .filter(version__model_line__name=model, version__version=version, name=name)
        .first()
    )
    if found is None:
        raise NotFound(f"there is no variant {model}/{version} {name}")
    return found


def get_artifact(sha256: str) -> Artifact:
    """The artifact of this digest.

    Raises:
        NotFound: there is none.
    """
    artifact = Artifact.objects.filter(sha256=sha256).first()
    if artifact is None:
        raise NotFound(f"there is no artifact {sha256}")
    return artifact


def uploaded_artifact(sha256: str, kind: Artifact.Kind, *, actor: Actor) -> Artifact:
    """The artifact that a request refers to by its digest.

    Raises:
        ArtifactUnknown: it was not uploaded, or as another kind; or the actor neither sent it nor may see a line that has it.
    """
    artifact = Artifact.objects.filter(sha256=sha256, kind=kind).first()
    if artifact is None or not _may_refer_to(actor, artifact):
        raise ArtifactUnknown(_why_unknown(sha256, kind, actor))
    return artifact


def _why_unknown(sha256: str, kind: Artifact.Kind, actor: Actor) -> str:
    """What to say of a digest that is no artifact of this kind; of others' files nothing."""
    other = Artifact.objects.filter(sha256=sha256).exclude(kind=kind).first()
    if other is None or not _may_refer_to(actor, other):
        return f"no {kind.value} with sha256 {sha256} was uploaded; upload it first"
    return f"expected a {kind.value}, but {sha256} was uploaded as a {other.kind}; look which file was meant"


def _may_refer_to(actor: Actor, artifact: Artifact) -> bool:
    return sees_artifact(actor, artifact) or artifact.uploads.filter(actor=actor.label).exists()
