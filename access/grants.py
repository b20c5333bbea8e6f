"""What a grant allows, as values: scopes, within a model line and a device group or everywhere. Pure.

`access` knows model lines and groups by their names alone; what lies in one is the business of who asks.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from access.errors import GrantInvalid
from access.models import ROLE_SCOPES, Role, Scope

_TEXT = re.compile(
    r"(?P<role>[a-z]+)(:(?P<model_line>[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?))?"
    r"(@(?P<group>[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?))?"
)


class Extent(Enum):
    """How much of a dimension (model lines, groups) is asked about, where it is not one by its name."""

    EVERY = "every"
    SOME = "some"


EVERY, SOME = Extent.EVERY, Extent.SOME
Asked = str | Extent


@dataclass(frozen=True, slots=True)
class Permit:
    """Scopes, within one model line and one group; None is all of them.

    Use `permit_of`, which leaves out the scopes that mean nothing in so small a place.
    """

    scopes: frozenset[str]
    model_line: str | None = None
    group: str | None = None

    def covers(self, scope: str, model: Asked, group: Asked) -> bool:
        """Whether it allows the scope there."""
        return scope in self.scopes and _within(self.model_line, model) and _within(self.group, group)

    def __str__(self) -> str:
        where = (f" of {self.model_line}" if self.model_line else "") + (f" in {self.group}" if self.group else "")
        return "+".join(sorted(self.scopes)) + where


def _within(held: str | None, asked: Asked) -> bool:
    return held is None or asked is SOME or held == asked


def permit_of(scopes: Iterable[str], model_line: str | None = None, group: str | None = None) -> Permit:
    """The permit for these scopes there.

    What is published reaches every group, and to administer is to administer everything: neither is left in a smaller place.
    """
    allowed = set(scopes)
    if group is not None:
        allowed.discard(Scope.PUBLISH)
    if group is not None or model_line is not None:
        allowed.discard(Scope.ADMINISTER)
    return Permit(frozenset(allowed), model_line, group)


EVERYTHING = Permit(frozenset(Scope.values))


@dataclass(frozen=True, slots=True)
class GrantSpec:
    """A grant in one word, `role[:model-line][@group]`: `viewer`, `operator:digits`, `operator:digits@berlin`, `viewer@berlin`."""

    role: Role
    model_line: str = ""
    group: str = ""

    def __str__(self) -> str:
        line = f":{self.model_line}" if self.model_line else ""
        return f"{self.role.value}{line}" + (f"@{self.group}" if self.group else "")

    @property
    def permit(self) -> Permit:
        """What it allows."""
        return permit_of(ROLE_SCOPES[self.role], self.model_line or None, self.group or None)


def parse_grant(text: str) -> GrantSpec:
    """The grant that is written so. Whether there is such a line and group is not looked at: either may come later.

    Raises:
        GrantInvalid: it is none, or its role cannot be restricted so.
    """
    match = _TEXT.fullmatch(text)
    if match is None or match["role"] not in Role.values:
        raise GrantInvalid(
            f"{text[:200]!r} is no grant; write role, role:model-line, role@group or role:model-line@group, where role is"
            f" one of {', '.join(Role.values)}"
        )
    grant = GrantSpec(Role(match["role"]), match["model_line"] or "", match["group"] or "")
    check_grant(grant)
    return grant


def check_grant(grant: GrantSpec) -> None:
    """Refuse a role in a place where it means nothing.

    Raises:
        GrantInvalid: an admin of less than everything, or a publisher of one group.
    """
    if grant.role == Role.ADMIN and (grant.model_line or grant.group):
        raise GrantInvalid("an admin is one of everything; grant publisher and operator where it is for less")
    if grant.role == Role.PUBLISHER and grant.group:
        raise GrantInvalid("what is published is there for every group; grant publisher without a group")


def narrowed(
    permits: Iterable[Permit], *, scopes: Iterable[str], model_lines: Iterable[str] = (), groups: Iterable[str] = ()
) -> tuple[Permit, ...]:
    """What is left of permits within scopes, and within model lines and groups where any are named."""
    wanted, lines, within = frozenset(scopes), tuple(model_lines), tuple(groups)
    left = (
        permit_of(permit.scopes & wanted, line, group)
        for permit in permits
        for line in _common(permit.model_line, lines)
        for group in _common(permit.group, within)
    )
    return tuple(dict.fromkeys(permit for permit in left if permit.scopes))


def _common(held: str | None, wanted: tuple[str, ...]) -> Iterator[str | None]:
    if not wanted:
        yield held
    elif held is None:
        yield from wanted
    elif held in wanted:
        yield held
