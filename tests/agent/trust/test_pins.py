"""The text of an enrollment token, taken apart and put together."""

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import MODEL_NAME
from agent.errors import PinInvalid
from agent.trust import pins

SECRET = "sfe_" + "S" * 43
PIN = hashlib.sha256(b"a root").hexdigest()


@given(st.dictionaries(st.from_regex(MODEL_NAME, fullmatch=True), st.binary(min_size=32, max_size=32), max_size=5))
def test_text_gives_back_what_it_was_composed_of(digests: dict[str, bytes]) -> None:
    wanted = {model: digest.hex() for model, digest in digests.items()}
    split = pins.split(pins.compose(SECRET, wanted))
    assert (split.secret, dict(split.pins)) == (SECRET, wanted)


def test_pin_is_base64url_of_the_digest() -> None:
    expected = base64.urlsafe_b64encode(bytes.fromhex(PIN)).decode().rstrip("=")
    assert pins.compose(SECRET, {"digits": PIN}) == f"{SECRET}:digits={expected}"


def test_text_of_a_file_may_end_with_a_line_feed() -> None:
    assert pins.split(f"{pins.compose(SECRET, {'kws': PIN})}\n").pins == {"kws": PIN}


def test_token_without_pins_is_a_secret_alone() -> None:
    assert pins.split(SECRET).pins == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sfd_" + "S" * 43,
        "sfe_short",
        f"{SECRET}:",
        f"{SECRET}:digits",
        f"{SECRET}:digits=",
        f"{SECRET}:digits={'A' * 42}",
        f"{SECRET}:digits={'A' * 44}",
        f"{SECRET}:digits={'A' * 42}B",  # bits behind the last byte
        f"{SECRET}:digits={'A' * 42}!",
        f"{SECRET}:digits={'A' * 41}é",
        f"{SECRET}:../x={'A' * 43}",
        f"{SECRET}:digits={'A' * 43}:digits={'A' * 43}",
    ],
)
def test_damaged_text_is_refused_without_showing_the_secret(text: str) -> None:
    with pytest.raises(PinInvalid) as refused:
        pins.split(text)
    assert not re.search("S{43}", str(refused.value))
    assert not re.search("S{43}", repr(pins.split(SECRET)))


@pytest.mark.parametrize("digest", [PIN.upper(), PIN[:-1], "", "x" * 64])
def test_pin_that_is_no_digest_is_not_composed(digest: str) -> None:
    with pytest.raises(PinInvalid):
        pins.compose(SECRET, {"digits": digest})


def test_people_may_give_a_pin_in_hex_or_base64url() -> None:
    assert pins.parse(PIN) == pins.parse(pins.from_hex(PIN)) == PIN
    with pytest.raises(PinInvalid):
        pins.parse("main")
