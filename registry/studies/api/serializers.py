"""Shapes of studies on the wire."""

from typing import Any

from rest_framework import serializers

from registry.api.serializers import NameField
from registry.models import Study


class StudyNameSerializer(serializers.Serializer[Any]):
    """The name in a study's address."""

    name = NameField()


class StudySummarySerializer(serializers.ModelSerializer[Study]):
    """A study in a list."""

    model = serializers.CharField(source="model_line.name")
    # Declared, because the range that DRF finds by itself is the database's, and so would be the OpenAPI document.
    point_count = serializers.IntegerField(read_only=True)

    class Meta:
        model = Study
        fields = ["model", "name", "point_count", "created_at", "changed_at"]


class StudySerializer(StudySummarySerializer):
    """A study with all that it measured."""

    document = serializers.JSONField(help_text="by smallfleet-study/1", read_only=True)

    class Meta(StudySummarySerializer.Meta):
        fields = [*StudySummarySerializer.Meta.fields, "document"]
