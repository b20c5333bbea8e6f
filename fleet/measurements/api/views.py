"""Routes of reports: devices send them, people read them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.actors import actor_of
from access.api.pagination import ApiPagination
from access.api.parsers import BatchJsonParser
from access.api.schema import problems
from access.models import Scope
from access.permissions import IsDevice, requires
from access.throttles import by_device
from fleet.devices.models import Device
from fleet.measurements import queries, services
from fleet.measurements.api import serializers
from fleet.measurements.budgets import budget_check
from fleet.measurements.comparison import disagreements
from fleet.measurements.models import BenchmarkReport
from registry.queries import get_model_line, get_version


def _query(request: Request) -> dict[str, Any]:
    query = serializers.ReportQuerySerializer(data=request.query_params)
    query.is_valid(raise_exception=True)
    wanted: dict[str, Any] = query.validated_data
    return wanted


def _is_whole(request: Request) -> bool:
    return bool(_query(request)["whole"] == "yes")


class ReportPagination(ApiPagination):
    """Whole reports are large: fewer of them make a page."""

    def get_limit(self, request: Request) -> int | None:
        """As it is asked for, cut to what a page may have."""
        limit = super().get_limit(request)
        return limit if limit is None or not _is_whole(request) else min(limit, serializers.MAX_WHOLE_REPORTS)


class ReportsView(ListAPIView[BenchmarkReport]):
    """Benchmark reports."""

    throttle_classes = [by_device("messages")]
    parser_classes = [BatchJsonParser]
    serializer_class = serializers.ListedReportSerializer
    pagination_class = ReportPagination
    queryset = BenchmarkReport.objects.none()  # tells the OpenAPI generator the model; `get_queryset` decides

    def get_permissions(self) -> list[BasePermission]:
        return [IsDevice()] if self.request.method == "POST" else [requires(Scope.READ)()]

    def get_queryset(self) -> QuerySet[BenchmarkReport]:
        wanted = _query(self.request)
        by = {name: wanted[name] for name in wanted if name != "whole"}
        reports = queries.reports_matching(actor=actor_of(self.request), **by)
        return reports if _is_whole(self.request) else reports.defer("report")

    def paginate_queryset(self, queryset: QuerySet[BenchmarkReport]) -> Sequence[BenchmarkReport]:  # type: ignore[override]
        """A page, with the names that it shows."""
        return queries.with_names(super().paginate_queryset(queryset) or [])

    def get_serializer_context(self) -> dict[str, Any]:
        """With whether reports are listed whole."""
        return {**super().get_serializer_context(), "whole": _is_whole(self.request)}

    @extend_schema(parameters=[serializers.ReportQuerySerializer])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        request=serializers.ReportsSerializer,
        responses={200: serializers.RecordedReportsSerializer, **problems(400, 429)},
    )
    def post(self, request: Request) -> Response:
        delivery = serializers.ReportsSerializer(data=request.data)
        delivery.is_valid(raise_exception=True)
        device = cast(Device, request.user)  # IsDevice admits nobody else
        recorded = services.record_reports(device=device, reports=delivery.messages())
        return Response(serializers.RecordedReportsSerializer(asdict(recorded)).data)


class ReportView(APIView):
    """One benchmark report, whole."""

    permission_classes = [requires(Scope.READ)]

    @extend_schema(responses={200: serializers.ReportSerializer, **problems(404)})
    def get(self, request: Request, run_id: UUID) -> Response:
        return Response(serializers.ReportSerializer(queries.get_report(run_id, actor=actor_of(request))).data)


class BenchmarksView(APIView):
    """What the devices measured of a model line, by model, device class and conditions."""

    permission_classes = [requires(Scope.READ)]

    @extend_schema(responses={200: serializers.BenchmarksSerializer, **problems(404)})
    def get(self, request: Request, model: str) -> Response:
        actor = actor_of(request)
        line = get_model_line(model, actor=actor)
        series = queries.series_figures(line, actor=actor)
        body = {"model": line.name, "series": series, "disagreements": disagreements(series)}
        return Response(serializers.BenchmarksSerializer(body).data)


class BudgetCheckView(APIView):
    """Whether the variants of a version keep the limits of their line; without limits there is nothing to list."""

    permission_classes = [requires(Scope.READ)]

    @extend_schema(responses={200: serializers.BudgetCheckSerializer, **problems(404)})
    def get(self, request: Request, model: str, version: str) -> Response:
        actor = actor_of(request)
        row = get_version(model, version, actor=actor)
        checked = budget_check(row.model_line, row.variants.all(), actor=actor)
        body = {"model": model, "version": version, "checked": checked}
        return Response(serializers.BudgetCheckSerializer(body).data)
