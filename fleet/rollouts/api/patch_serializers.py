"""Shapes of the plan of patches on the wire."""

from typing import Any

from rest_framework import serializers

from registry.deltas.formats import EFFORTS
from registry.deltas.planning import Status

_MAX_MB = 1e9
_MAX_S = 1e9


class PatchOrderSerializer(serializers.Serializer[Any]):
    """What may be spent, in 10^6 bytes of store and seconds of workers, and how hard to try.

    Null is what the standing budget has left, and as hard as the encoder does by itself.
    """

    budget_mb = serializers.FloatField(min_value=0, max_value=_MAX_MB, allow_null=True, default=None)
    budget_s = serializers.FloatField(min_value=0, max_value=_MAX_S, allow_null=True, default=None)
    effort = serializers.ChoiceField(choices=EFFORTS, allow_null=True, default=None)

    def wanted(self) -> dict[str, Any]:
        """The valid wish, as the service's arguments."""
        megabytes = self.validated_data["budget_mb"]
        return {
            "storage_bytes": None if megabytes is None else megabytes * 1e6,
            "build_s": self.validated_data["budget_s"],
            "effort": self.validated_data["effort"] or "",
        }


class PatchBudgetSerializer(serializers.Serializer[Any]):
    """Bytes in the store and seconds of workers."""

    storage_bytes = serializers.IntegerField()
    build_s = serializers.FloatField()


class PatchSideSerializer(serializers.Serializer[Any]):
    """One end of pairs: `sha256` null is nothing, which packed files start from; `devices` hold it."""

    sha256 = serializers.CharField(allow_null=True)
    size_bytes = serializers.IntegerField()
    variants = serializers.ListField(child=serializers.CharField(), source="names")
    devices = serializers.IntegerField()


class PatchPairSerializer(serializers.Serializer[Any]):
    """What stands of one pair. `expected_alike` is how many measured pairs the expectation is from; 0 is the prior."""

    base = serializers.CharField(source="pair.base", allow_null=True)
    target = serializers.CharField(source="pair.target")
    status = serializers.ChoiceField(choices=[status.value for status in Status])
    devices = serializers.IntegerField()
    size_bytes = serializers.IntegerField(allow_null=True)
    share = serializers.FloatField(allow_null=True)
    saved_bytes = serializers.IntegerField()
    expected_bytes = serializers.IntegerField(source="expected.size_bytes", default=None, allow_null=True)
    expected_s = serializers.FloatField(source="expected.build_s", default=None, allow_null=True)
    expected_alike = serializers.IntegerField(source="expected.alike", default=None, allow_null=True)
    effort = serializers.CharField()
    format = serializers.IntegerField(allow_null=True)
    build_s = serializers.FloatField(allow_null=True)
    built_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField()


class PatchPlanSerializer(serializers.Serializer[Any]):
    """The plan of a model line: `standing` is the budget by the settings, `used` what of it is spent, `left` what this plan could spend."""

    model = serializers.CharField()
    standing = PatchBudgetSerializer(source="matrix.outlook.standing")
    used = PatchBudgetSerializer(source="matrix.outlook.used")
    left = PatchBudgetSerializer(source="matrix.outlook.left")
    froms = PatchSideSerializer(source="matrix.froms", many=True)
    tos = PatchSideSerializer(source="matrix.tos", many=True)
    pairs = PatchPairSerializer(source="matrix.pairs", many=True)
