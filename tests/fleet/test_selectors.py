"""Group queries: what they mean, and how they refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.devices.models import Device, Group, LinkClass
from fleet.devices.queries import devices_in
from fleet.devices.selectors import Operator, Term, condition, normalised, parse_query
from fleet.errors import QueryInvalid
from tests.factories.fleet import make_device, make_fleet, make_link_class, make_variant


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("site=berlin", (Term("site", Operator.EQUALS, "berlin"),)),
        (
            " site = berlin , board!=pi4 ",
            (Term("site", Operator.EQUALS, "berlin"), Term("board", Operator.DIFFERS, "pi4")),
        ),
        ("camera,!camera", (Term("camera", Operator.HAS), Term("camera", Operator.LACKS))),
    ],
)
def test_query_parses_to_terms(text: str, terms: tuple[Term, ...]) -> None:
    assert parse_query(text) == terms


@pytest.mark.parametrize(
    "text", ["=berlin", "site=", "site==x", "a b", "!", ",", "1st=x", "ä=1", "site=a=b", "x,", "!=pi4"]
)
def test_query_that_cannot_be_read_names_the_bad_term(text: str) -> None:
    with pytest.raises(QueryInvalid) as refused:
        parse_query(text)
    assert any(repr(part.strip()) in refused.value.detail for part in text.split(","))


def test_query_with_too_many_terms_is_refused() -> None:
    with pytest.raises(QueryInvalid, match="at most 20"):
        parse_query(",".join(f"a{number}" for number in range(21)))


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_and_what_is_stored_means_the_same(text: str) -> None:
    try:
        terms = parse_query(text)
    except QueryInvalid:
        return
    assert parse_query(normalised(text)) == terms


def _names(query: str) -> set[str]:
    return {device.name for device in devices_in(Group(query=query))}


@pytest.fixture
def devices(db: None) -> None:
    lte = make_link_class("lte")
    make_device("a", attributes={"site": "berlin", "camera": "1", "in": "x"}, link_class=lte)
    make_device("b", attributes={"site": "lyon", "board": "pi4", "site__x": "y", "blank": ""}, device_class="pi4")
    make_device("c", attributes={"board": "pi5", "true": "true", "n": "10"})


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "abc"),
        ("site=berlin", "a"),
        ("site!=berlin", "bc"),
        ("board!=pi4", "ac"),
        ("camera", "a"),
        ("!camera", "bc"),
        ("!blank", "abc"),
        ("device_class=pi5", "ac"),
        ("device_class!=pi5", "b"),
        ("link_class=lte", "a"),
        ("!link_class", "bc"),
        ("link_class", "a"),
        ("site,board", "b"),
        ("in=x", "a"),
        ("site__x=y", "b"),
        ("true=true", "c"),
        ("n=10", "c"),
        ("exact", ""),
    ],
)
def test_query_selects_devices(query: str, names: str) -> None:
    assert _names(query) == set(names)


@pytest.mark.usefixtures("devices")
def test_query_reaches_devices_through_installations() -> None:
    from fleet.devices.models import Installation

    make_fleet(3, current=make_variant())
    found = Installation.objects.filter(condition(parse_query("site=berlin,!link_class"), device="device"))
    assert {row.device.name for row in found} == {"bulk-1"}


@pytest.mark.usefixtures("devices")
def test_revoked_device_is_in_no_group() -> None:
    Device.objects.filter(name="a").update(revoked_at="2026-01-01T00:00:00Z")
    assert _names("site=berlin") == set()
    assert LinkClass.objects.count() == 1
