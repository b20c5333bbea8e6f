"""The text that a device is given: the server's secret, and pins from the trust folder or, said so, from the server."""

from pathlib import Path
from typing import Any

import pytest

from agent.trust import pins
from client.trust.line import LineTrust
from fleet.devices.models import EnrollmentToken

pytestmark = pytest.mark.django_db(transaction=True)


def test_pin_is_the_newest_root_of_the_trust_folder(line: LineTrust, said: Any) -> None:
    said("trust", "renew", "digits", "--root")
    text = said("enroll-token", "--name", "gates", "--model", "digits")
    token = pins.split(text)
    assert token.pins == {"digits": line.shown().root.sha256}
    assert "server" not in text
    assert EnrollmentToken.objects.get().allowed_models == ["digits"]


def test_pin_that_only_the_server_knows_is_said_to_be_its_word(
    line: LineTrust, said: Any, printed: Any, tmp_path: Path
) -> None:
    said("trust", "init", "kws", "--create-model")
    elsewhere = str(tmp_path / "elsewhere")
    created = printed("enroll-token", "--name", "gates", "--trust-dir", elsewhere)
    assert created["pins_from_server"] == ["digits", "kws"]
    assert pins.split(created["token"]).pins == created["pins"] == created["roots"]
    text = said("enroll-token", "--name", "gates", "--model", "kws", "--trust-dir", elsewhere)
    assert f"the pin of kws is the server's word: there is no root of it in {elsewhere}" in text
    assert "digits" not in text


def test_line_without_trust_has_no_pin_and_that_is_said(said: Any, line: LineTrust, real: Any) -> None:
    real.post("models", {"name": "kws"})
    text = said("enroll-token", "--name", "gates", "--model", "digits", "--model", "kws")
    assert "kws has no trust yet" in text
    assert "`smallfleet trust init kws`" in text


def test_serials_come_from_a_file_and_approval_from_an_operator(
    line: LineTrust, said: Any, printed: Any, tmp_path: Path
) -> None:
    (tmp_path / "serials").write_text("SN-1\n\n  SN-2\n")
    listed = printed("enroll-token", "--name", "gates", "--serials", str(tmp_path / "serials"))
    assert listed["mode"] == "serials"
    assert set(EnrollmentToken.objects.get(pk=listed["id"]).serials.values_list("serial", flat=True)) == {
        "SN-1",
        "SN-2",
    }
    assert printed("enroll-token", "--name", "gates", "--approval")["mode"] == "approval"
    (tmp_path / "empty").write_text("\n")
    assert "has no serial in it" in said(
        "enroll-token", "--name", "gates", "--serials", str(tmp_path / "empty"), code=2
    )
    assert "No such file" in said("enroll-token", "--name", "gates", "--serials", str(tmp_path / "none"), code=5)
