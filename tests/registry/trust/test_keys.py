"""The server's online keys: made once, kept to itself, and refused in words where they are none."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from rest_framework.test import APIClient

from registry.checks import check_trust
from registry.errors import OnlineKeysUnusable
from registry.trust.keys import online_keys
from tests.registry.wire import assert_problem, send

ROOT = Path(__file__).parents[3]
PRINT_KEYIDS = """
import django
django.setup()
from registry.trust.keys import online_keys
print(*sorted(named["keyid"] for named in online_keys().public().values()))
"""


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    """An empty place for keys."""
    path = tmp_path / "home" / "keys"
    settings.SMALLFLEET_KEYS = str(path)
    return path


def pem(key: Any, encryption: Any = None) -> str:
    """A private key as PEM."""
    text: str = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode()
    return text


def test_keys_are_made_at_first_use_and_stay(folder: Path) -> None:
    first = online_keys().public()
    assert online_keys().public() == first
    assert first["snapshot"] != first["timestamp"]
    assert sorted(path.name for path in folder.iterdir()) == ["snapshot.pem", "timestamp.pem"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_processes_that_make_the_keys_at_once_have_the_same(tmp_path: Path) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "fleet.settings",
        "SMALLFLEET_DEBUG": "1",
        "SMALLFLEET_HOME": str(tmp_path),
    }
    command = [sys.executable, "-c", PRINT_KEYIDS]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    printed = {process.communicate(timeout=60)[0] for process in started}
    assert [process.returncode for process in started] == [0] * 4
    assert len(printed) == 1
    assert len(printed.pop().split()) == 2
    assert len(list((tmp_path / "keys").iterdir())) == 2


def test_keys_of_the_settings_go_before_files(folder: Path, settings: Any) -> None:
    key = Ed25519PrivateKey.generate()
    settings.SMALLFLEET_TIMESTAMP_KEY = pem(key)
    public = online_keys().public()["timestamp"]["key"]["keyval"]["public"]
    assert bytes.fromhex(public) == key.public_key().public_bytes_raw()
    assert [path.name for path in folder.iterdir()] == ["snapshot.pem"]


@pytest.mark.parametrize(
    "given",
    [
        "planted-secret",
        "-----BEGIN PRIVATE KEY-----\nplanted-secret\n-----END PRIVATE KEY-----\n",
        pem(generate_private_key(SECP256R1())),
        pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"planted-secret")),
    ],
)
def test_setting_that_is_no_key_is_refused_without_showing_it(folder: Path, settings: Any, given: str) -> None:
    settings.SMALLFLEET_SNAPSHOT_KEY = given
    with pytest.raises(OnlineKeysUnusable, match="SMALLFLEET_SNAPSHOT_KEY") as refused:
        online_keys()
    assert "planted" not in str(refused.value)


@pytest.mark.django_db
def test_file_that_cannot_be_read_is_the_operators_problem(publisher: APIClient, folder: Path) -> None:
    (folder / "snapshot.pem").mkdir(parents=True)
    body = assert_problem(send(publisher, "GET", "/trust/online-keys"), 503, "online-keys-unusable")
    assert str(folder / "snapshot.pem") in body["detail"]


def test_repr_of_the_keys_shows_none(folder: Path) -> None:
    assert "private" not in repr(online_keys()).lower()


def test_check_finds_keys_that_others_can_read_and_lives_that_are_none(folder: Path, settings: Any) -> None:
    online_keys()
    assert list(check_trust()) == []
    (folder / "timestamp.pem").chmod(0o640)
    settings.SMALLFLEET_TIMESTAMP_LIFE_S = 0
    assert [message.id for message in check_trust()] == ["registry.E006", "registry.E007"]
    settings.SMALLFLEET_TIMESTAMP_KEY = pem(Ed25519PrivateKey.generate())
    settings.SMALLFLEET_TIMESTAMP_LIFE_S = 7 * 86_400
    assert list(check_trust()) == []
