"""Shapes of the audit record on the wire."""

from typing import Any

from rest_framework import serializers

from access.audit.models import AuditRecord

GREATEST_ID = 2**63 - 1


class AuditQuerySerializer(serializers.Serializer[Any]):
    """Which records are asked for."""

    actor = serializers.CharField(required=False, max_length=200, help_text="as it stands there, e.g. `person:anna`")
    action = serializers.CharField(required=False, max_length=60)
    subject = serializers.CharField(required=False, max_length=300, help_text="its beginning")
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False, help_text="not included")
    before = serializers.IntegerField(
        required=False, min_value=1, max_value=GREATEST_ID, help_text="`next_before` of the page before"
    )
    limit = serializers.IntegerField(default=100, min_value=1, max_value=1000)


class AuditRecordSerializer(serializers.ModelSerializer[AuditRecord]):
    """Who did what to what, when and from where, and its place in the chain."""

    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)
    detail = serializers.JSONField()
    position = serializers.SerializerMethodField()
    sha256 = serializers.SerializerMethodField()

    class Meta:
        model = AuditRecord
        fields = [
            "id", "at", "actor", "actor_name", "action", "subject", "before", "after", "detail", "address", "request_id",
            "position", "sha256",
        ]  # fmt: skip

    def get_position(self, record: AuditRecord) -> int | None:
        """Null for the moment between the commit and the sealing."""
        return record.seal.position if hasattr(record, "seal") else None

    def get_sha256(self, record: AuditRecord) -> str | None:
        """Likewise."""
        return record.seal.sha256 if hasattr(record, "seal") else None


class AuditPageSerializer(serializers.Serializer[Any]):
    """A page of records, newest first."""

    results = AuditRecordSerializer(many=True)
    next_before = serializers.IntegerField(allow_null=True, help_text="`before` of the next page; null on the last")


class HeadSerializer(serializers.Serializer[Any]):
    """Where the chain ends; worth keeping elsewhere."""

    position = serializers.IntegerField()
    sha256 = serializers.CharField()


class ExportQuerySerializer(serializers.Serializer[Any]):
    """From which position on."""

    first = serializers.IntegerField(default=1, min_value=1, max_value=GREATEST_ID)
