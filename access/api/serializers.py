"""Shapes of access on the wire."""

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework import serializers

from access.errors import GrantInvalid
from access.grants import GrantSpec, parse_grant
from access.models import ApiToken, Scope
from access.people import specs_of

MAX_NAMES = 100


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


class PermitSerializer(serializers.Serializer[Any]):
    """What is allowed, and where."""

    scopes = serializers.ListField(child=serializers.CharField())
    model_line = serializers.CharField(allow_null=True, help_text="null: every model line")
    group = serializers.CharField(allow_null=True, help_text="null: every device")


class WhoamiSerializer(serializers.Serializer[Any]):
    """Who the request comes from."""

    kind = serializers.CharField()
    id = serializers.CharField()
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField(), help_text="all that it may do anywhere")
    permits = PermitSerializer(many=True)


class TokenRequestSerializer(serializers.Serializer[Any]):
    """A wish for a token."""

    name = serializers.CharField(max_length=100)
    scopes = ShortListField(
        child=serializers.ChoiceField(choices=Scope.choices), max_length=len(Scope.choices), allow_empty=False
    )
    model_lines = ShortListField(child=serializers.CharField(max_length=64), max_length=MAX_NAMES, default=list)
    groups = ShortListField(child=serializers.CharField(max_length=64), max_length=MAX_NAMES, default=list)
    expires_at = EndField()


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token without its secret."""

    scopes = serializers.ListField(child=serializers.CharField())
    model_lines = serializers.ListField(child=serializers.CharField())
    groups = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = ApiToken
        fields = [
            "id", "name", "scopes", "model_lines", "groups", "created_at", "expires_at", "revoked_at", "last_used_at",
        ]  # fmt: skip


class NewTokenSerializer(TokenSerializer):
    """A token with its secret, this once."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]


class GrantField(serializers.CharField):
    """A grant in one word: `role`, `role:model-line`, `role@group` or `role:model-line@group`."""

    MAX_CHARACTERS = 200

    def to_internal_value(self, data: Any) -> GrantSpec:  # type: ignore[override]
        """The grant as a value. Its length is checked here: a validator would look for that of the value."""
        text = super().to_internal_value(data)
        if len(text) > self.MAX_CHARACTERS:
            raise serializers.ValidationError(f"at most {self.MAX_CHARACTERS} characters")
        try:
            return parse_grant(text)
        except GrantInvalid as error:
            raise serializers.ValidationError(error.detail) from error

    def to_representation(self, value: GrantSpec) -> str:  # type: ignore[override]
        """The grant in one word."""
        return str(value)


class PersonSerializer(serializers.ModelSerializer[User]):
    """A person."""

    grants = serializers.SerializerMethodField(help_text="`role[:model-line][@group]`")
    identity_provider = serializers.SerializerMethodField(help_text="logs in with it, and has no password here")

    class Meta:
        model = User
        fields = ["username", "is_active", "grants", "identity_provider", "date_joined", "last_login"]
        read_only_fields = fields

    def get_grants(self, person: User) -> list[str]:
        return [str(grant) for grant in specs_of(person)]

    def get_identity_provider(self, person: User) -> bool:
        return bool(person.identities.all())


class PersonRequestSerializer(serializers.Serializer[Any]):
    """A wish for a person. Without a password nobody logs in as them; they have tokens."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(
        max_length=200, required=False, allow_null=True, default=None, trim_whitespace=False, write_only=True
    )
    grants = ShortListField(child=GrantField(), max_length=MAX_NAMES)


class PersonChangesSerializer(serializers.Serializer[Any]):
    """What may change of a person."""

    is_active = serializers.BooleanField(required=False)
    password = serializers.CharField(max_length=200, required=False, trim_whitespace=False, write_only=True)
    grants = ShortListField(child=GrantField(), max_length=MAX_NAMES, required=False)
