"""Shapes of devices, groups and link classes on the wire."""

import re
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from access.actors import actor_of
from access.api.serializers import EndField, ShortListField
from fleet.devices.models import (
    ATTRIBUTE_KEY_PATTERN,
    MAX_ALLOWED_MODELS,
    MAX_ATTRIBUTE_LENGTH,
    MAX_ATTRIBUTES,
    MAX_SERIAL_LENGTH,
    Device,
    EnrollmentSerial,
    EnrollmentToken,
    Group,
    Installation,
    LinkClass,
)
from fleet.devices.queries import installable_lines
from registry.models import NAME_PATTERN, SHA256_PATTERN

MAX_USES = 2**31 - 1
# In one request: 100 bytes each are well below the cap of a JSON body.
MAX_SERIALS_AT_ONCE = 5000
MAX_DEVICES_AT_ONCE = 500


class AttributesField(serializers.DictField):
    """Key-value facts of a device."""

    def __init__(self, **options: Any) -> None:
        child = serializers.CharField(max_length=MAX_ATTRIBUTE_LENGTH, allow_blank=True)
        super().__init__(child=child, **options)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Check keys and their number besides the values; the number first, or each of a million would be named as wrong."""
        if isinstance(data, dict) and len(data) > MAX_ATTRIBUTES:
            raise serializers.ValidationError(f"at most {MAX_ATTRIBUTES} attributes, not {len(data)}")
        attributes: dict[str, str] = super().to_internal_value(data)
        for key in attributes:
            if not re.fullmatch(ATTRIBUTE_KEY_PATTERN, key):
                raise serializers.ValidationError(
                    f"{key!r} is no key: a letter, then up to 62 letters, digits, '.', '_' or '-'"
                )
        return attributes


class SerialField(serializers.CharField):
    """What stands on a device's label."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_SERIAL_LENGTH, **options)


class EnrollSerializer(serializers.Serializer[Any]):
    """A device introduces itself."""

    token = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    serial = SerialField(required=False, allow_blank=True, default="")
    name = serializers.CharField(max_length=100)
    device_class = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    attributes = AttributesField(required=False, default=dict)


class EnrolledSerializer(serializers.Serializer[Any]):
    """What an enrolled device gets; the credential this once."""

    device_id = serializers.UUIDField()
    credential = serializers.CharField()
    poll_after_s = serializers.IntegerField()
    approved = serializers.BooleanField(help_text="whether it may work; else an operator must approve it first")


class LinkClassSerializer(serializers.ModelSerializer[LinkClass]):
    """What a byte costs."""

    price_per_mb = serializers.DecimalField(
        max_digits=12, decimal_places=6, min_value=0, help_text="per 10^6 bytes, in the server's currency"
    )

    class Meta:
        model = LinkClass
        fields = ["name", "price_per_mb", "rate_limit_bytes_per_s", "metered"]
        extra_kwargs = {"name": {"validators": [*LinkClass._meta.get_field("name").validators]}}  # noqa: SLF001


class LinkClassChangesSerializer(LinkClassSerializer):
    """What may change of a link class."""

    class Meta(LinkClassSerializer.Meta):
        fields = ["price_per_mb", "rate_limit_bytes_per_s", "metered"]
        extra_kwargs = {}


class GroupSerializer(serializers.ModelSerializer[Group]):
    """A saved query."""

    class Meta:
        model = Group
        fields = ["name", "query", "created_at"]
        extra_kwargs = {
            "name": {"validators": [*Group._meta.get_field("name").validators]},  # noqa: SLF001
            "query": {"required": True},
        }


class LinkClassField(serializers.SlugRelatedField[LinkClass]):
    """A link class by its name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(slug_field="name", queryset=LinkClass.objects.all(), allow_null=True, **options)


class SerialsField(ShortListField):
    """Serials to be registered at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=SerialField(), max_length=MAX_SERIALS_AT_ONCE, **options)


class EnrollmentTokenRequestSerializer(serializers.Serializer[Any]):
    """A wish for an enrollment token."""

    name = serializers.CharField(max_length=100)
    mode = serializers.ChoiceField(
        choices=EnrollmentToken.Mode.choices, required=False, default=EnrollmentToken.Mode.OPEN
    )
    uses = serializers.IntegerField(
        min_value=1,
        max_value=MAX_USES,
        required=False,
        allow_null=True,
        default=None,
        help_text="1 unless given; in the mode serials as many as those",
    )
    expires_at = EndField()
    models = ShortListField(
        child=serializers.RegexField(NAME_PATTERN), max_length=MAX_ALLOWED_MODELS, required=False, default=list
    )
    group = serializers.CharField(max_length=64, required=False, allow_null=True, default=None)
    link_class = LinkClassField(required=False, default=None)
    attributes = AttributesField(required=False, default=dict)
    serials = SerialsField(required=False, default=list)


class EnrollmentTokenSerializer(serializers.ModelSerializer[EnrollmentToken]):
    """An enrollment token without its secret."""

    # Declared, because the range that DRF finds by itself is the database's, and so would be the OpenAPI document.
    uses = serializers.IntegerField(read_only=True)
    used = serializers.IntegerField(read_only=True)
    models = serializers.ListField(child=serializers.CharField(), source="allowed_models", read_only=True)
    group = serializers.SlugRelatedField[Group](slug_field="name", read_only=True, allow_null=True)
    link_class = serializers.SlugRelatedField[LinkClass](slug_field="name", read_only=True, allow_null=True)
    attributes = serializers.DictField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = EnrollmentToken
        fields = [
            "id", "name", "mode", "uses", "used", "models", "group", "link_class", "attributes", "created_at",
            "expires_at", "revoked_at",
        ]  # fmt: skip


class NewEnrollmentTokenSerializer(EnrollmentTokenSerializer):
    """An enrollment token with its secret, this once, and what a device should pin besides it."""

    token = serializers.CharField(read_only=True)
    roots = serializers.DictField(
        child=serializers.CharField(),
        read_only=True,
        help_text="by model line that devices of this token may install and that has signed metadata: SHA-256 of its newest root",
    )

    class Meta(EnrollmentTokenSerializer.Meta):
        fields = [*EnrollmentTokenSerializer.Meta.fields, "token", "roots"]


class SerialsSerializer(serializers.Serializer[Any]):
    """Serials to be registered."""

    serials = SerialsField(allow_empty=False)


class RegisteredSerializer(serializers.Serializer[Any]):
    """How many of them are new."""

    added = serializers.IntegerField()


class EnrollmentSerialSerializer(serializers.ModelSerializer[EnrollmentSerial]):
    """A registered serial."""

    device = serializers.UUIDField(source="device_id", read_only=True, allow_null=True)

    class Meta:
        model = EnrollmentSerial
        fields = ["serial", "used_at", "device"]


class DevicesNamedSerializer(serializers.Serializer[Any]):
    """Devices by their ids."""

    devices = ShortListField(child=serializers.UUIDField(), max_length=MAX_DEVICES_AT_ONCE, allow_empty=False)


class DecidedSerializer(serializers.Serializer[Any]):
    """How many of them waited."""

    decided = serializers.IntegerField()


class CredentialSerializer(serializers.Serializer[Any]):
    """The digest of the secret that a device made for itself."""

    next_sha256 = serializers.RegexField(SHA256_PATTERN)


class CertificateSerializer(serializers.Serializer[Any]):
    """A client certificate's fingerprint: the SHA-256 of its DER form. Null takes the certificate away."""

    sha256 = serializers.RegexField(SHA256_PATTERN, allow_null=True)


class RefusedSerializer(serializers.Serializer[Any]):
    """The local rule that keeps the device from what the server wants, and since when."""

    rule = serializers.CharField(source="refused_rule")
    detail = serializers.CharField(source="refused_detail")
    since = serializers.DateTimeField(source="refused_since")


class InstallationSerializer(serializers.ModelSerializer[Installation]):
    """One model line on the device."""

    model = serializers.CharField(source="model_line.name", read_only=True)
    target = serializers.SerializerMethodField()
    current = serializers.CharField(source="current_sha256", read_only=True)
    previous = serializers.CharField(source="previous_sha256", read_only=True)
    refused = serializers.SerializerMethodField()

    class Meta:
        model = Installation
        fields = ["model", "target", "rollout", "current", "previous", "refused", "active", "updated_at"]

    def get_target(self, installation: Installation) -> str | None:
        """As `digits/1.1.0 fp32`."""
        return str(installation.target) if installation.target else None

    @extend_schema_field(RefusedSerializer(allow_null=True))
    def get_refused(self, installation: Installation) -> dict[str, Any] | None:
        """None while no local rule refuses."""
        return RefusedSerializer(installation).data if installation.refused_rule else None


class DeviceSerializer(serializers.ModelSerializer[Device]):
    """A device, without its credential."""

    link_class = serializers.SlugRelatedField[LinkClass](slug_field="name", read_only=True, allow_null=True)
    attributes = serializers.DictField(child=serializers.CharField(), read_only=True)
    patch_formats = serializers.ListField(child=serializers.IntegerField(), read_only=True)
    models = serializers.SerializerMethodField(
        help_text="the only model lines it may install, of those that you may see; empty: any"
    )

    class Meta:
        model = Device
        fields = [
            "id", "name", "device_class", "serial", "attributes", "models", "link_class", "agent_version",
            "patch_formats", "certificate_sha256", "credential_made_at", "rotation_asked_at", "enrolled_at",
            "pending_until", "last_seen_at", "revoked_at",
        ]  # fmt: skip

    def get_models(self, device: Device) -> list[str]:
        """The views give the request as context."""
        return installable_lines(device, actor=actor_of(self.context["request"]))


class DeviceDetailSerializer(DeviceSerializer):
    """A device and what it holds."""

    installations = InstallationSerializer(many=True, read_only=True)

    class Meta(DeviceSerializer.Meta):
        fields = [*DeviceSerializer.Meta.fields, "installations"]


class DeviceChangesSerializer(serializers.Serializer[Any]):
    """What a person may change of a device."""

    name = serializers.CharField(max_length=100, required=False)
    link_class = LinkClassField(required=False)
