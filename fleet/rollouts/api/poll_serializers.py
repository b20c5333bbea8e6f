"""Shapes of a poll. The answer's serializers describe it in the OpenAPI document; `poll.poll_answer` makes it."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from access.api.serializers import CutField, ShortListField
from fleet.devices.api.serializers import AttributesField
from fleet.devices.hearing import HeldModel, LocalRefusal, Saying
from registry.api.serializers import NameField, Sha256Field

MAX_INSTALLATIONS = 64
MAX_REFUSAL_DETAIL = 200


class LocalRefusalSerializer(serializers.Serializer[Any]):
    """The local rule that keeps the device from what the server wants."""

    rule = serializers.RegexField(r"^[a-z][a-z0-9-]*$", max_length=64)
    detail = CutField(length=MAX_REFUSAL_DETAIL, required=False, default="")


class HeldModelSerializer(serializers.Serializer[Any]):
    """What the device holds of one model line."""

    model = NameField()
    current = Sha256Field(allow_null=True, required=False, default=None)
    previous = Sha256Field(allow_null=True, required=False, default=None)
    refused = LocalRefusalSerializer(allow_null=True, required=False, default=None)


class SayingSerializer(serializers.Serializer[Any]):
    """What the device says it has."""

    agent_version = serializers.CharField(max_length=40)
    patch_formats = ShortListField(
        child=serializers.IntegerField(min_value=1, max_value=255), max_length=16, allow_empty=True
    )
    device_class = serializers.CharField(max_length=64, allow_blank=True, required=False, default="")
    attributes = AttributesField(required=False, default=dict)
    installations = HeldModelSerializer(many=True, max_length=MAX_INSTALLATIONS)  # type: ignore[call-arg]  # the stubs lack it

    def validate_installations(self, installations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each model line once."""
        names = [held["model"] for held in installations]
        if len(set(names)) < len(names):
            raise serializers.ValidationError("a model line is named twice")
        return installations

    def saying(self) -> Saying:
        """The checked body as a value."""
        fields = self.validated_data
        held = sorted(map(_held_model, fields["installations"]), key=lambda one: one.model)
        return Saying(
            agent_version=fields["agent_version"],
            patch_formats=tuple(sorted(set(fields["patch_formats"]))),
            device_class=fields["device_class"],
            attributes=fields["attributes"],
            installations=tuple(held),
        )


def _held_model(fields: Mapping[str, Any]) -> HeldModel:
    refused = fields["refused"]
    return HeldModel(**{**fields, "refused": LocalRefusal(**refused) if refused else None})


class FileSerializer(serializers.Serializer[Any]):
    """An artifact to fetch."""

    sha256 = serializers.CharField()
    size_bytes = serializers.IntegerField()


class TolerancesSerializer(serializers.Serializer[Any]):
    """How far outputs may be from the golden ones."""

    atol = serializers.FloatField(allow_null=True)
    rtol = serializers.FloatField(allow_null=True)
    min_agreement = serializers.FloatField(allow_null=True)


class TargetSerializer(FileSerializer):
    """Where an installation should go."""

    version = serializers.CharField()
    variant = serializers.CharField()
    contract = FileSerializer()
    sample_set = FileSerializer(allow_null=True)
    tolerances = TolerancesSerializer()


class WaySerializer(FileSerializer):
    """One means of getting the target."""

    way = serializers.ChoiceField(choices=["delta", "packed", "raw"])
    base = serializers.CharField(required=False)
    format = serializers.IntegerField(required=False)


class PolicySerializer(serializers.Serializer[Any]):
    """How long to wait for a better way."""

    delta_pending = serializers.BooleanField()
    wait_for_delta_s = serializers.IntegerField()


class PolledInstallationSerializer(serializers.Serializer[Any]):
    """What to do with one model line."""

    model = serializers.CharField()
    targets_version = serializers.IntegerField(
        allow_null=True, help_text="of the line's newest signed targets metadata; timestamps do not change it"
    )
    action = serializers.ChoiceField(choices=["install", "hold"])
    rollout = serializers.UUIDField(allow_null=True)
    target = TargetSerializer(allow_null=True)
    ways = WaySerializer(many=True)
    policy = PolicySerializer()


class PollAnswerSerializer(serializers.Serializer[Any]):
    """The answer to a poll."""

    poll_after_s = serializers.IntegerField()
    installations = PolledInstallationSerializer(many=True)
    rotate_credential = serializers.BooleanField(
        required=False, help_text="there, and true, while the device shall make itself a new credential"
    )
