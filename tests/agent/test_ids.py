"""Identifiers are those that the `uuid` module makes and reads."""

import uuid

import pytest

from agent.ids import new_id, parse_id


def test_identifier_is_a_random_uuid_in_its_usual_form() -> None:
    made = {new_id() for _ in range(200)}
    assert len(made) == 200
    for one in made:
        read = uuid.UUID(one)
        assert (str(read), read.version, read.variant) == (one, 4, uuid.RFC_4122)


def test_uuid_is_read_as_the_module_writes_it() -> None:
    for known in (uuid.uuid4(), uuid.uuid1(), uuid.UUID(int=0)):
        assert parse_id(str(known)) == parse_id(known) == parse_id(str(known).upper()) == str(known)


@pytest.mark.parametrize(
    "wrong", [None, "", "../x", 7, "g" * 36, f"{uuid.UUID(int=0)}0", f"{uuid.UUID(int=0)}\n", "0" * 32]
)
def test_anything_else_is_none(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected a UUID"):
        parse_id(wrong)
