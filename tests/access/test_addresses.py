"""The address of a client is what trusted proxies say, and else who connected."""

import gc
import json
import logging
import re
import weakref

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from access.addresses import NO_REQUEST, client_address, comes_from_trusted_proxy, current_origin, origin_of
from access.middleware import LeanDeviceApiMiddleware, OriginMiddleware
from fleet.operations.checks import check_fleet_settings
from fleet.operations.logs import JsonFormatter


@pytest.fixture(autouse=True)
def _proxies(settings: Settings) -> None:
    settings.SMALLFLEET_TRUSTED_PROXIES = ["10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48"]


@pytest.mark.parametrize(
    ("connected", "forwarded", "client"),
    [
        ("198.51.100.4", "", "198.51.100.4"),
        ("198.51.100.4", "203.0.113.9", "198.51.100.4"),  # nobody's proxy: the header is hearsay
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "6.6.6.6, 203.0.113.9", "203.0.113.9"),  # the client itself wrote the left one
        ("10.1.2.3", "6.6.6.6, 203.0.113.9, 192.0.2.7", "203.0.113.9"),  # two proxies of ours
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "unknown", "10.1.2.3"),
        ("10.1.2.3", "6.6.6.6, <script>", "10.1.2.3"),
        ("10.1.2.3", "192.0.2.7", "192.0.2.7"),
        ("::ffff:10.1.2.3", "2001:db8:2::1", "2001:db8:2::1"),
        ("2001:db8:1::9", "::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "", "fe80::1"),
        ("10.1.2.3", f"fe80::1%<script>{'x' * 100}", "fe80::1"),
        ("", "203.0.113.9", ""),  # a Unix socket
    ],
)
def test_client_is_the_first_that_no_trusted_proxy_is(connected: str, forwarded: str, client: str) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert client_address(RequestFactory(headers=headers).get("/", REMOTE_ADDR=connected)) == client


def test_request_is_asked_anew_each_time_and_kept_by_nobody() -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="10.1.2.3")
    assert comes_from_trusted_proxy(request)
    request.META["REMOTE_ADDR"] = "198.51.100.4"
    assert not comes_from_trusted_proxy(request)
    gone = weakref.ref(request)
    del request
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("connected", "given", "kept"),
    [
        ("10.1.2.3", "edge-1.42", True),
        ("198.51.100.4", "edge-1.42", False),
        ("10.1.2.3", "two words", False),
        ("10.1.2.3", "x" * 65, False),
    ],
)
def test_number_of_a_request_is_a_trusted_proxys_or_ours(connected: str, given: str, kept: bool) -> None:  # noqa: FBT001
    origin = origin_of(RequestFactory(headers={"X-Request-ID": given}).get("/", REMOTE_ADDR=connected))
    assert (origin.request_id == given) is kept
    assert kept or re.fullmatch(r"[0-9a-f]{32}", origin.request_id)


def test_origin_is_known_during_the_request_and_told_to_people_alone() -> None:
    seen = []

    def view(request: object) -> HttpResponse:
        seen.append(current_origin())
        record = logging.makeLogRecord({"msg": "something", "levelname": "INFO"})
        assert json.loads(JsonFormatter().format(record))["request_id"] == seen[-1].request_id
        return HttpResponse()

    answer = LeanDeviceApiMiddleware(OriginMiddleware(view))
    person = answer(RequestFactory().get("/", REMOTE_ADDR="198.51.100.4"))
    device = answer(RequestFactory(headers={"Authorization": "Bearer sfd_x"}).get("/"))
    assert (seen[0].address, seen[0].request_id) == ("198.51.100.4", person["X-Request-ID"])
    assert "X-Request-ID" not in device
    assert current_origin() == NO_REQUEST


def test_what_is_no_network_is_named_at_the_start(settings: Settings) -> None:
    settings.SMALLFLEET_TRUSTED_PROXIES = ["10.0.0.1/8"]
    (found,) = check_fleet_settings(None)
    assert found.id == "smallfleet.fleet.E003"
    assert "10.0.0.1/8" in found.msg
