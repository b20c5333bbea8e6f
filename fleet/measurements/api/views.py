"""Routes of reports: devices send them, people read them."""

from dataclasses import asdict
from typing import cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from access.api.parsers import BatchJsonParser
from access.models import Scope
from access.permissions import IsDevice, requires
from fleet.devices.models import Device
from fleet.measurements import queries, services
from fleet.measurements.api import serializers
from fleet.measurements.models import BenchmarkReport
from registry.api.schema import problems


class ReportsView(ListAPIView[BenchmarkReport]):
    """Benchmark reports."""

    parser_classes = [BatchJsonParser]
    serializer_class = serializers.ReportSerializer
    queryset = BenchmarkReport.objects.none()  # tells the OpenAPI generator the model; `get_queryset` decides

    def get_permissions(self) -> list[BasePermission]:
        return [IsDevice()] if self.request.method == "POST" else [requires(Scope.READ)()]

    def get_queryset(self) -> QuerySet[BenchmarkReport]:
        query = serializers.ReportQuerySerializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        return queries.reports_matching(**query.validated_data)

    @extend_schema(parameters=[serializers.ReportQuerySerializer])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        request=serializers.ReportsSerializer,
        responses={200: serializers.RecordedReportsSerializer, **problems(400)},
    )
    def post(self, request: Request) -> Response:
        delivery = serializers.ReportsSerializer(data=request.data)
        delivery.is_valid(raise_exception=True)
        device = cast(Device, request.user)  # IsDevice admits nobody else
        recorded = services.record_reports(device=device, reports=delivery.messages())
        return Response(serializers.RecordedReportsSerializer(asdict(recorded)).data)
