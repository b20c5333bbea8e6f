"""Shapes of costs and ledgers on the wire. Money is a decimal string in the server's currency."""

from typing import Any

from rest_framework import serializers


class MoneyField(serializers.DecimalField):
    """An exact amount."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=None, decimal_places=None, **options)

    def to_representation(self, value: Any) -> Any:
        """Without an exponent: `0.000012`, not `1.2E-5`."""
        return f"{value:f}"


class VariantCostSerializer(serializers.Serializer[Any]):
    """What it costs to bring today's fleet to a variant."""

    version = serializers.CharField(source="variant.version.version")
    variant = serializers.CharField(source="variant.name")
    sha256 = serializers.CharField(source="variant.artifact.sha256")
    size_bytes = serializers.IntegerField(source="variant.artifact.size_bytes")
    devices = serializers.IntegerField()
    devices_there = serializers.IntegerField()
    bytes_total = serializers.IntegerField()
    money_total = MoneyField()
    bytes_by_way = serializers.DictField(child=serializers.IntegerField())
    devices_by_way = serializers.DictField(child=serializers.IntegerField())
    is_upper_bound = serializers.BooleanField()


class CostsSerializer(serializers.Serializer[Any]):
    """The costs of all published variants."""

    model = serializers.CharField()
    group = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    variants = VariantCostSerializer(many=True)


class WayBytesSerializer(serializers.Serializer[Any]):
    """What one way put on the wire; `way` is empty where the agent has not said it yet."""

    way = serializers.CharField(allow_blank=True)
    agent_bytes = serializers.IntegerField()
    server_bytes = serializers.IntegerField(allow_null=True)
    requests = serializers.IntegerField()
    devices = serializers.IntegerField()


class DeviceBytesSerializer(serializers.Serializer[Any]):
    """What one device put on the wire."""

    device_id = serializers.UUIDField()
    device = serializers.CharField()
    link_class = serializers.CharField(allow_null=True)
    ways = serializers.ListField(child=serializers.CharField(allow_blank=True))
    agent_bytes = serializers.IntegerField()
    server_bytes = serializers.IntegerField(allow_null=True)
    money = MoneyField()


class LedgerSerializer(serializers.Serializer[Any]):
    """The bytes of a rollout. `server_bytes` is null where an object store or CDN carried them."""

    currency = serializers.CharField()
    agent_bytes = serializers.IntegerField()
    server_bytes = serializers.IntegerField(allow_null=True)
    requests = serializers.IntegerField()
    money = MoneyField()
    devices = serializers.IntegerField()
    by_way = WayBytesSerializer(many=True)
    by_device = DeviceBytesSerializer(many=True)
