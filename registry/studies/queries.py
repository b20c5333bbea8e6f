"""Reads of studies."""

from collections.abc import Collection

from django.db.models import QuerySet

from access.actors import Actor
from access.errors import NotFound
from registry.models import ModelLine, Study, Variant, Version
from registry.queries import get_model_line
from registry.visibility import check_sees_line


def studies_of(model_line: ModelLine) -> QuerySet[Study]:
    """The studies of a line by name, without their documents."""
    return Study.objects.filter(model_line=model_line).select_related("model_line").defer("document").order_by("name")


def list_studies(model: str, *, actor: Actor) -> QuerySet[Study]:
    """The studies of the line of this name, without their documents.

    Raises:
        NotFound: there is no such line that the actor may see.
    """
    return studies_of(get_model_line(model, actor=actor))


def get_study(model: str, name: str, *, actor: Actor) -> Study:
    """The study.

    Raises:
        NotFound: there is none that the actor may see.
    """
    check_sees_line(actor, model)
    found = Study.objects.select_related("model_line").filter(model_line__name=model, name=name).first()
    if found is None:
        raise NotFound(f"there is no study {model}/{name}")
    return found


def variants_of_digests(model_line: ModelLine, digests: Collection[str]) -> dict[str, list[Variant]]:
    """The variants of the line that are these files, by digest; yanked versions left out. One query, however many digests."""
    wanted = set(digests)
    # By the line and not by the digests: a study may have 10,000, and a line has few variants.
    variants = (
        Variant.objects.filter(version__model_line=model_line)
        .exclude(version__state=Version.State.YANKED)
        .select_related("version", "artifact")
        .defer("recipe")
        .order_by("pk")
    )
    found: dict[str, list[Variant]] = {}
    for variant in variants:
        if variant.artifact.sha256 in wanted:
            found.setdefault(variant.artifact.sha256, []).append(variant)
    return found
