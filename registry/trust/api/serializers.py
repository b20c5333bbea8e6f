"""Shapes of trust on the wire. Metadata files themselves are bytes that nobody but python-tuf reads."""

from typing import Any

from rest_framework import serializers

from registry.models import MetadataFile, Variant
from registry.trust.queries import TrustState, keyids_by_role

_MAX_VERSION = 2**53


class OnlineKeySerializer(serializers.Serializer[Any]):
    """A key as a root names it."""

    keyid = serializers.CharField()
    key = serializers.JSONField(help_text="TUF: {keytype, scheme, keyval}")


class OnlineKeysSerializer(serializers.Serializer[Any]):
    """What this server signs with."""

    snapshot = OnlineKeySerializer()
    timestamp = OnlineKeySerializer()


class NewsQuerySerializer(serializers.Serializer[Any]):
    """What the asker has of each role; 0 or left out is nothing."""

    root = serializers.IntegerField(min_value=0, max_value=_MAX_VERSION, default=0)  # type: ignore[assignment]  # the metaclass takes it away
    timestamp = serializers.IntegerField(min_value=0, max_value=_MAX_VERSION, default=0)
    snapshot = serializers.IntegerField(min_value=0, max_value=_MAX_VERSION, default=0)
    targets = serializers.IntegerField(min_value=0, max_value=_MAX_VERSION, default=0)


class NewsSerializer(serializers.Serializer[Any]):
    """The files that the asker lacks, character by character as they were signed."""

    roots = serializers.ListField(child=serializers.CharField(), help_text="the ones after the asker's, in order")
    timestamp = serializers.CharField(required=False)
    snapshot = serializers.CharField(required=False)
    targets = serializers.CharField(required=False)


class MetadataFileSerializer(serializers.ModelSerializer[MetadataFile]):
    """A file that was kept."""

    version = serializers.IntegerField(min_value=1)

    class Meta:
        model = MetadataFile
        fields = ["role", "version", "sha256", "expires_at"]


class FileStateSerializer(serializers.ModelSerializer[MetadataFile]):
    """The newest file of a role."""

    version = serializers.IntegerField(min_value=1)

    class Meta:
        model = MetadataFile
        fields = ["version", "expires_at", "sha256"]


class RoleStateSerializer(serializers.Serializer[Any]):
    """Who signs for a role."""

    threshold = serializers.IntegerField()
    keyids = serializers.ListField(child=serializers.CharField())


class RootStateSerializer(FileStateSerializer):
    """The newest root."""

    roles = serializers.DictField(child=RoleStateSerializer())
    keys = serializers.DictField(child=serializers.JSONField(), help_text="by keyid, as TUF has them")

    class Meta(FileStateSerializer.Meta):
        fields = [*FileStateSerializer.Meta.fields, "roles", "keys"]


class LiveTargetSerializer(serializers.Serializer[Variant]):
    """A variant that devices may install."""

    path = serializers.SerializerMethodField()
    sha256 = serializers.CharField(source="artifact.sha256")
    version = serializers.CharField(source="version.version")
    variant = serializers.CharField(source="name")

    def get_path(self, variant: Variant) -> str:
        return f"{variant.version.version}/{variant.name}"


class TargetsStateSerializer(FileStateSerializer):
    """The newest targets metadata."""

    live = LiveTargetSerializer(many=True)
    needs_signing = serializers.BooleanField(
        help_text="the newest root does not take its signatures any more: nothing is live until a publisher signs again"
    )

    class Meta(FileStateSerializer.Meta):
        fields = [*FileStateSerializer.Meta.fields, "live", "needs_signing"]


class TrustStateSerializer(serializers.Serializer[TrustState]):
    """The trust of a model line, for people and for whoever signs next."""

    model = serializers.CharField()
    first_root_sha256 = serializers.CharField()
    expires_at = serializers.DateTimeField(help_text="the earliest: after it no device installs anything")
    root = RootStateSerializer()
    targets = TargetsStateSerializer(allow_null=True)
    snapshot = FileStateSerializer(allow_null=True)
    timestamp = FileStateSerializer(allow_null=True)


def trust_document(state: TrustState) -> dict[str, Any]:
    """The state as `TrustStateSerializer` describes it."""
    keys = {keyid: key.to_dict() for keyid, key in state.keys.keys.items()}
    targets = state.targets and {
        **FileStateSerializer(state.targets).data,
        "live": [LiveTargetSerializer(variant).data for variant in state.live],
        "needs_signing": state.needs_signing,
    }
    return {
        "model": state.model,
        "first_root_sha256": state.first_root.sha256,
        "expires_at": serializers.DateTimeField().to_representation(state.expires_at()),
        "root": {**FileStateSerializer(state.root).data, "roles": keyids_by_role(state.keys), "keys": keys},
        "targets": targets,
        "snapshot": state.snapshot and FileStateSerializer(state.snapshot).data,
        "timestamp": state.timestamp and FileStateSerializer(state.timestamp).data,
    }
