"""Who may use a route. Every view names one of these; the default admits nobody."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from access.actors import actor_of
from access.errors import PermissionRefused, Unauthenticated
from access.models import Scope

if TYPE_CHECKING:  # DRF loads this module while it builds its own views
    from rest_framework.views import APIView


class Nobody(BasePermission):
    """The default of the project: a view that forgot to decide is closed."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return False


class Anybody(BasePermission):
    """Open to everybody, on purpose."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return True


class IsDevice(BasePermission):
    """Devices only."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if actor_of(request).kind != "device":
            raise PermissionRefused("this route is for devices; use a device's credential (sfd_…)")
        return True


class Known(BasePermission):
    """Everybody with a valid credential."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        actor_of(request)
        return True


def requires(*scopes: Scope, device: bool = False) -> type[BasePermission]:
    """A permission class that admits people who have one of `scopes`, and with `device` every enrolled device too."""

    class RequiresScope(BasePermission):
        def has_permission(self, request: Request, view: "APIView") -> bool:
            actor = actor_of(request)
            if device and actor.kind == "device":
                return True
            if actor.scopes.isdisjoint(scopes):
                needed = " or ".join(f"`{scope.value}`" for scope in scopes)
                raise PermissionRefused(
                    f"this needs the scope {needed}; {actor.label} has {sorted(actor.scopes) or 'none'}"
                )
            return True

    RequiresScope.__name__ = f"Requires{_title(scopes)}{'OrDevice' if device else ''}"
    return RequiresScope


def requires_by_method(read: Scope, *write: Scope) -> type[BasePermission]:
    """`read` for GET, HEAD and OPTIONS, one of `write` for everything else."""

    class RequiresByMethod(BasePermission):
        def has_permission(self, request: Request, view: "APIView") -> bool:
            scopes = (read,) if request.method in {"GET", "HEAD", "OPTIONS"} else write
            return requires(*scopes)().has_permission(request, view)

    RequiresByMethod.__name__ = f"Requires{_title([read])}Then{_title(write)}"
    return RequiresByMethod


def _title(scopes: Iterable[Scope]) -> str:
    return "Or".join(scope.value.title() for scope in scopes)


__all__ = ["Anybody", "IsDevice", "Known", "Nobody", "Unauthenticated", "requires", "requires_by_method"]
