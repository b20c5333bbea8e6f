"""What an artifact is called: installations and attempts hold digests, people read versions and variants."""

from collections.abc import Collection
from dataclasses import dataclass

from registry.models import Variant


@dataclass(frozen=True, slots=True)
class VariantName:
    """A variant as a person reads it."""

    variant_id: int
    line: str
    version: str
    variant: str

    def __str__(self) -> str:
        return f"{self.version} {self.variant}"


def name_of_variant(variant: Variant) -> VariantName:
    """The name of a variant that is at hand with its version and model line."""
    version = variant.version
    return VariantName(variant.pk, version.model_line.name, version.version, variant.name)


# (model line, artifact) -> name
Names = dict[tuple[int, int], VariantName]


def names_of_artifacts(artifact_ids: Collection[int]) -> Names:
    """The variants that have these artifacts; of several versions with the same bytes, the newest."""
    rows = (
        Variant.objects.filter(artifact_id__in=artifact_ids)
        .order_by("id")
        .values_list(
            "id", "artifact_id", "name", "version__version", "version__model_line_id", "version__model_line__name"
        )
    )
    return {
        (line_id, artifact_id): VariantName(variant_id, line, version, name)
        for variant_id, artifact_id, name, version, line_id, line in rows
    }


def name_in(
    names: Names, line_id: int, artifact_id: int | None, *, wanted: Variant | None = None
) -> VariantName | None:
    """The artifact's name in its model line; None if it has none.

    Args:
        names: of the artifacts at hand.
        line_id: the model line.
        artifact_id: None is nothing, or what this registry does not know.
        wanted: the variant that was asked for: of several with the same bytes, what runs is this one.
    """
    if artifact_id is None:
        return None
    if wanted is not None and wanted.artifact_id == artifact_id and wanted.version.model_line_id == line_id:
        return name_of_variant(wanted)
    return names.get((line_id, artifact_id))
