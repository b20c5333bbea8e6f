"""What django-axes asks of this project (from where a login comes, what those are told who failed too often), and the end of sessions."""

from ipaddress import ip_network

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse

from access.addresses import client_address
from access.errors import TooManyRequests
from access.limits import network_of
from access.problems import problem_response


def address_of(request: HttpRequest) -> str | None:
    """The client's address; of an IPv6 one the first of its /64, all of which one client has. None where the connection has none."""
    address = client_address(request)
    return str(ip_network(network_of(address)).network_address) if address else None


def locked_out(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """The answer to a login by a name, or from an address, that failed too often; right or wrong, the password is not looked at."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    return problem_response(
        request,
        TooManyRequests(
            f"after {settings.AXES_FAILURE_LIMIT} failed logins nobody logs in by this name or from this address for {minutes} minutes;"
            " API tokens work on, and an admin with a shell on the server ends it with `smallfleet manage axes_reset`",
            headers={"Retry-After": str(60 * minutes)},
        ),
    )


def forget_sessions() -> None:
    """Forget the sessions that are over: anybody who begins a login with the identity provider makes one. The worker calls it again and again."""
    SessionStore.clear_expired()
