"""Everything of the registry to look at, nothing to change: writes go through the services and the audit record."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from registry.models import (
    Artifact,
    Budget,
    Evaluation,
    MetadataFile,
    ModelLine,
    Patch,
    Study,
    Upload,
    Variant,
    Version,
)


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Neither adds, changes nor deletes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin):
    """Artifacts, by digest."""

    list_display = ["sha256", "kind", "size_bytes", "created_at"]
    list_filter = ["kind"]
    search_fields = ["sha256"]


@admin.register(ModelLine)
class ModelLineAdmin(ReadOnlyAdmin):
    """Model lines."""

    list_display = ["name", "title", "created_at"]
    search_fields = ["name", "title"]


@admin.register(Version)
class VersionAdmin(ReadOnlyAdmin):
    """Versions and their states."""

    list_display = ["__str__", "state", "published_at", "yanked_at"]
    list_filter = ["state"]
    list_select_related = ["model_line"]
    search_fields = ["model_line__name", "version"]


@admin.register(Variant)
class VariantAdmin(ReadOnlyAdmin):
    """Variants and their files."""

    list_display = ["__str__", "artifact", "created_at"]
    list_select_related = ["version__model_line", "artifact"]
    search_fields = ["name", "artifact__sha256", "version__model_line__name"]


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin):
    """What was measured."""

    list_display = ["__str__", "sample_count", "measured_by", "created_at"]
    list_filter = ["metric"]
    list_select_related = ["variant__version__model_line"]


@admin.register(Patch)
class PatchAdmin(ReadOnlyAdmin):
    """Patches: wanted, being built, and done."""

    list_display = ["__str__", "patch_format", "state", "effort", "size_bytes", "tries", "build_s", "built_at"]
    list_filter = ["state", "patch_format"]
    list_select_related = ["base", "target"]
    search_fields = ["base__sha256", "target__sha256", "failure"]


@admin.register(Budget)
class BudgetAdmin(ReadOnlyAdmin):
    """Limits of model lines."""

    list_display = ["model_line", "configuration", "changed_at"]
    list_select_related = ["model_line"]


@admin.register(MetadataFile)
class MetadataFileAdmin(ReadOnlyAdmin):
    """Signed metadata, by role and version."""

    list_display = ["model_line", "role", "version", "expires_at", "superseded_at"]
    list_filter = ["role", "model_line"]


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    """Who sent which bytes."""

    list_display = ["artifact", "actor", "uploaded_at"]
    list_select_related = ["artifact"]
    search_fields = ["artifact__sha256", "actor"]


@admin.register(Study)
class StudyAdmin(ReadOnlyAdmin):
    """Explorations of design spaces."""

    list_display = ["model_line", "name", "point_count", "changed_at", "changed_by"]
    list_select_related = ["model_line"]
    search_fields = ["name", "model_line__name"]
