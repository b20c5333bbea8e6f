"""What is taken as JSON, and how bodies, forms and addresses are capped on every route."""

import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from access import strict_json
from registry.errors import ContractInvalid
from registry.inspection.contracts import parse_contract
from tests.factories.registry import contract_bytes

REFUSED = {
    "a key twice": (b'{"a": 1, "b": {"c": 1, "c": 2}}', "stands twice"),
    "NaN": (b'{"a": NaN}', "no number"),
    "infinity": (b"[-Infinity]", "no number"),
    "beyond a double": (b"[1e999]", "beyond a double"),
    "beyond a double, in digits": (b"[1" + b"0" * 400 + b".0]", "beyond a double"),
    "beyond 64 bits": (b"[9223372036854775808]", "beyond 64 bits"),
    "below 64 bits": (b"[-9223372036854775809]", "beyond 64 bits"),
    "thousands of digits": (b"[" + b"9" * 100_000 + b"]", "beyond 64 bits"),
    "deep lists": (b"[" * 40 + b"]" * 40, "nested deeper"),
    "deep objects": (b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper"),
    "lists without end": (b"[" * 100_000, "nested deeper"),
    "half a surrogate": (b'["\\ud800"]', "surrogates not allowed"),
    "no UTF-8": (b'["\xff"]', "decode"),
    "nothing": (b"", "Expecting value"),
    "two documents": (b"{} {}", "Extra data"),
    "a comment": (b"{} // x", "Extra data"),
}


@pytest.mark.parametrize(("encoded", "complaint"), REFUSED.values(), ids=REFUSED)
def test_what_readers_disagree_about_is_refused(encoded: bytes, complaint: str) -> None:
    with pytest.raises(strict_json.NotStrict, match=complaint):
        strict_json.parse(encoded)


@pytest.mark.timeout(20)
def test_key_that_stands_twice_is_found_in_time_among_many() -> None:
    keys = [*map(str, range(200_000)), "199999"]
    with pytest.raises(strict_json.NotStrict, match="'199999' stands twice"):
        strict_json.parse(b"{" + ",".join(f'"{key}":0' for key in keys).encode() + b"}")


def test_extremes_are_taken() -> None:
    most = {
        "ints": [2**63 - 1, -(2**63)],
        "floats": [1.7976931348623157e308, 5e-324],
        "pair": "\U0001f600",
        "k": [[]] * 99,
    }
    assert strict_json.parse(json.dumps(most).encode()) == most
    deep: Any = 1
    for _level in range(strict_json.MAX_DEPTH):
        deep = [deep]
    assert strict_json.parse(json.dumps(deep).encode()) == deep


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_what_python_writes_is_read_as_it_was(document: Any) -> None:
    encoded = json.dumps(document, ensure_ascii=False).encode(errors="surrogatepass")
    assert strict_json.parse(encoded) == document


@pytest.mark.parametrize(
    "change", [b'"NaN": NaN', b'"outputs": []', b'"n": 1e999', b'"deep": ' + b"[" * 50 + b"]" * 50]
)
def test_contract_is_held_to_the_same(change: bytes) -> None:
    with pytest.raises(ContractInvalid, match="no JSON"):
        parse_contract(contract_bytes()[:-1] + b", " + change + b"}")


@pytest.mark.django_db
def test_form_takes_no_file_and_nothing_reaches_the_disk(client: Client, settings: Settings, tmp_path: Any) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0
    boundary = "x"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'.encode()
        + b"x" * 3_000_000
        + f"\r\n--{boundary}--\r\n".encode()
    )
    answer = client.post("/login/", data=body, content_type=f"multipart/form-data; boundary={boundary}")
    assert answer.status_code == 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.django_db
def test_form_and_address_with_too_many_fields_or_bytes_are_refused(client: Client) -> None:
    many = "&".join(f"a{number}=1" for number in range(600))
    form = "application/x-www-form-urlencoded"
    assert client.post("/login/", data=many, content_type=form).status_code == 400
    assert client.post("/login/", data="a=" + "x" * 3_000_000, content_type=form).status_code == 400
    assert client.get(f"/login/?{many}").status_code == 400
