"""Queries of groups: text → terms → a condition on devices.

`site=berlin`, `board!=pi4`, `camera` (has it), `!camera` (has not), joined by commas, all of which must hold. As in Kubernetes' label selectors,
`board!=pi4` also holds for a device without a `board`. `device_class` and `link_class` may be used like attributes.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import F, Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import Exact, IsNull

from fleet.devices.models import ATTRIBUTE_KEY_PATTERN, MAX_ATTRIBUTE_LENGTH
from fleet.errors import PresetUnusable, QueryInvalid

MAX_TERMS = 20
PSEUDO_ATTRIBUTES = {"device_class": "device_class", "link_class": "link_class__name"}


class Operator(enum.Enum):
    """What a term asks of its key."""

    EQUALS = "="
    DIFFERS = "!="
    HAS = ""
    LACKS = "!"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a query."""

    key: str
    operator: Operator
    value: str = ""

    def __str__(self) -> str:
        if self.operator in {Operator.EQUALS, Operator.DIFFERS}:
            return f"{self.key}{self.operator.value}{self.value}"
        return f"{self.operator.value}{self.key}"


def parse_query(text: str) -> tuple[Term, ...]:
    """The terms of a query; none of an empty one, which holds for every device.

    Raises:
        QueryInvalid: names the term that cannot be read.
    """
    if not text.strip():
        return ()
    parts = text.split(",")
    if len(parts) > MAX_TERMS:
        raise QueryInvalid(f"a query has at most {MAX_TERMS} terms, this one has {len(parts)}")
    return tuple(_parse_term(part.strip()) for part in parts)


def _parse_term(text: str) -> Term:
    if "!=" in text:
        key, _, value = text.partition("!=")
        term = Term(key.strip(), Operator.DIFFERS, value.strip())
    elif "=" in text:
        key, _, value = text.partition("=")
        term = Term(key.strip(), Operator.EQUALS, value.strip())
    elif text.startswith("!"):
        term = Term(text[1:].strip(), Operator.LACKS)
    else:
        term = Term(text, Operator.HAS)
    _check_term(term, text)
    return term


def _check_term(term: Term, text: str) -> None:
    if not re.fullmatch(ATTRIBUTE_KEY_PATTERN, term.key):
        raise QueryInvalid(
            f"the term {text!r} has no valid key; write key=value, key!=value, key or !key, where a key begins with a"
            " letter and has letters, digits, '.', '_' and '-'"
        )
    if term.operator in {Operator.EQUALS, Operator.DIFFERS} and not 0 < len(term.value) <= MAX_ATTRIBUTE_LENGTH:
        raise QueryInvalid(f"the term {text!r} needs a value of 1 to {MAX_ATTRIBUTE_LENGTH} characters after the sign")
    if "=" in term.value or "\0" in term.value:
        raise QueryInvalid(f"the term {text!r} has a value with a character that values cannot have")


def normalised(text: str) -> str:
    """The query as it is stored: the same terms, without superfluous blanks."""
    return ",".join(str(term) for term in parse_query(text))


def fixed_by(terms: tuple[Term, ...]) -> dict[str, str]:
    """The attributes with which all terms hold, and under `link_class` the name of the link class.

    Raises:
        PresetUnusable: a term is no equality, is about the device class, which is the device's own to say, or contradicts another.
    """
    fixed: dict[str, str] = {}
    for term in terms:
        if term.operator is not Operator.EQUALS:
            raise PresetUnusable(f"the term {str(term)!r} is no equality; only key=value can be set on a device")
        if term.key == "device_class":
            raise PresetUnusable("a device says its class itself; take a group without device_class")
        if fixed.setdefault(term.key, term.value) != term.value:
            raise PresetUnusable(f"no device can be in it: {term.key} cannot be {fixed[term.key]} and {term.value}")
    return fixed


def condition(terms: tuple[Term, ...], *, device: str = "", fixed: bool = False) -> Q:
    """The condition that all terms hold.

    Args:
        terms: from `parse_query`.
        device: how the filtered model reaches the device: empty for devices, `device` for installations.
        fixed: by what people or enrollment set, never by what the device says. Its class it says itself: a query that asks for it holds for none.
    """
    prefix = f"{device}__" if device else ""
    if fixed and any(term.key == "device_class" for term in terms):
        return Q(**{f"{prefix}pk__in": []})
    holds = Q()
    for term in terms:
        holds &= _condition(term, prefix, "fixed_attributes" if fixed else "attributes")
    return holds


def _condition(term: Term, prefix: str, attributes: str) -> Q:
    # Expressions in place of `attributes__<key>` lookups, which would read a key such as `in` or `a__b` as a lookup of Django's.
    pseudo = PSEUDO_ATTRIBUTES.get(term.key)
    field = F(prefix + pseudo) if pseudo else KeyTextTransform(term.key, prefix + attributes)
    absent = Q(IsNull(field, True)) | Q(Exact(field, ""))  # noqa: FBT003 - the lookup's right-hand side
    match term.operator:
        case Operator.EQUALS:
            return Q(Exact(field, term.value))
        case Operator.DIFFERS:
            return absent | ~Q(Exact(field, term.value))
        case Operator.HAS:
            return ~absent
        case Operator.LACKS:
            return absent


def holds_for(terms: tuple[Term, ...], *, attributes: Mapping[str, str], link_class: str | None) -> bool:
    """Whether a device with these fixed attributes and this link class is in the group: `condition` with `fixed`, of values."""
    if any(term.key == "device_class" for term in terms):
        return False
    known = {**attributes, "link_class": link_class or ""}
    return all(_holds(term, known.get(term.key, "")) for term in terms)


def _holds(term: Term, value: str) -> bool:
    match term.operator:
        case Operator.EQUALS:
            return value == term.value
        case Operator.DIFFERS:
            return value != term.value
        case Operator.HAS:
            return bool(value)
        case Operator.LACKS:
            return not value
