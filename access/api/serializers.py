"""Shapes of access on the wire."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from access.models import ApiToken, Scope


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457 problem details."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(required=False)
    instance = serializers.CharField()
    # The name is RFC 9457's business, not ours; DRF's own `errors` of a bound serializer is not used on this one.
    errors = serializers.ListField(  # type: ignore[assignment]
        child=serializers.DictField(child=serializers.CharField()), required=False
    )


class ShortListField(serializers.ListField):
    """A list that is refused as a whole when it is too long: DRF's own looks at each item first, and names what is wrong with each of a million."""

    def __init__(self, *, max_length: int, **options: Any) -> None:
        self.most = max_length
        super().__init__(max_length=max_length, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        """Count before looking at any item."""
        if isinstance(data, list) and len(data) > self.most:
            raise serializers.ValidationError(f"at most {self.most} items, not {len(data)}")
        items: list[Any] = super().to_internal_value(data)
        return items


class CutField(serializers.CharField):
    """Text that is cut to its length: a final event must not be lost for a long message."""

    def __init__(self, *, length: int, **options: Any) -> None:
        self.length = length
        super().__init__(allow_blank=True, **options)

    def to_internal_value(self, data: Any) -> str:
        """Cut what is longer."""
        return super().to_internal_value(data)[: self.length]


class EndField(serializers.DateTimeField):
    """When something ends that is being made now; None, and left out, is never."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, allow_null=True, default=None, **options)

    def to_internal_value(self, value: Any) -> datetime:
        """A moment in the future."""
        moment = super().to_internal_value(value)
        if moment <= timezone.now():
            raise serializers.ValidationError(f"{moment.isoformat()} is not in the future")
        return moment


class WhoamiSerializer(serializers.Serializer[Any]):
    """Who the request comes from."""

    kind = serializers.CharField()
    id = serializers.CharField()
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())


class TokenRequestSerializer(serializers.Serializer[Any]):
    """A wish for a token."""

    name = serializers.CharField(max_length=100)
    scopes = ShortListField(
        child=serializers.ChoiceField(choices=Scope.choices), max_length=len(Scope.choices), allow_empty=False
    )
    expires_at = EndField()


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token without its secret."""

    scopes = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = ApiToken
        fields = ["id", "name", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at"]


class NewTokenSerializer(TokenSerializer):
    """A token with its secret, this once."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
