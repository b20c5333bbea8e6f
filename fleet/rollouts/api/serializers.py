"""Shapes of rollouts on the wire, as people see them."""

from typing import Any

from rest_framework import serializers

from fleet.rollouts.models import Rollout

MAX_WAIT_S = 7 * 24 * 3600


class RolloutRequestSerializer(serializers.Serializer[Any]):
    """A plan for a rollout."""

    model = serializers.CharField(max_length=64)
    version = serializers.CharField(max_length=100)
    variant = serializers.CharField(max_length=64)
    group = serializers.CharField(max_length=64, required=False, allow_null=True, default=None)
    wait_for_delta_s = serializers.IntegerField(min_value=0, max_value=MAX_WAIT_S, required=False, default=600)
    start = serializers.BooleanField(required=False, default=False)


class AbortSerializer(serializers.Serializer[Any]):
    """How to abort."""

    roll_back = serializers.BooleanField(required=False, default=False)


class ForecastSerializer(serializers.Serializer[Any]):
    """What a rollout was expected to cost when it was started."""

    devices = serializers.IntegerField()
    devices_there = serializers.IntegerField()
    bytes_total = serializers.IntegerField()
    money_total = serializers.DecimalField(max_digits=None, decimal_places=None)
    bytes_by_way = serializers.DictField(child=serializers.IntegerField())
    devices_by_way = serializers.DictField(child=serializers.IntegerField())
    is_upper_bound = serializers.BooleanField()


class ProgressSerializer(serializers.Serializer[Any]):
    """How many installations stand where."""

    total = serializers.IntegerField()
    pending = serializers.IntegerField()
    there = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    rolled_back = serializers.IntegerField()


class WaitSerializer(serializers.Serializer[Any]):
    """Devices of the cohort that a local rule of theirs keeps waiting."""

    rule = serializers.CharField()
    devices = serializers.IntegerField()
    since = serializers.DateTimeField(help_text="of the one that waits longest")


class RolloutSerializer(serializers.ModelSerializer[Rollout]):
    """A rollout."""

    model = serializers.CharField(source="target.version.model_line.name", read_only=True)
    version = serializers.CharField(source="target.version.version", read_only=True)
    variant = serializers.CharField(source="target.name", read_only=True)
    sha256 = serializers.CharField(source="target.artifact.sha256", read_only=True)
    group = serializers.CharField(source="group.name", read_only=True, allow_null=True, default=None)
    created_by = serializers.CharField(source="created_by.username", read_only=True, allow_null=True, default=None)
    # Declared, because the range that DRF finds by itself is the database's, and so would be the OpenAPI document.
    wait_for_delta_s = serializers.IntegerField(read_only=True)
    forecast = ForecastSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Rollout
        fields = [
            "id", "model", "version", "variant", "sha256", "group", "by_fixed_attributes", "state", "wait_for_delta_s", "forecast",
            "created_by", "created_at", "started_at", "closed_at",
        ]  # fmt: skip


class RolloutDetailSerializer(RolloutSerializer):
    """A rollout and how far it is."""

    progress = ProgressSerializer(read_only=True)
    waiting_for = WaitSerializer(many=True, read_only=True)

    class Meta(RolloutSerializer.Meta):
        fields = [*RolloutSerializer.Meta.fields, "progress", "waiting_for"]
