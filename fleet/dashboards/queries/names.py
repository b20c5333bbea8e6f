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
