"""Keys on disk: who may read them, what opens them, and that none is ever written over."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from client.errors import ConfigError, LocalFileError
from client.trust.keys import KeyRole, load_key, make_key, publisher_key, read_public_key

ROOT = KeyRole.ROOT


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMALLFLEET_PUBLISHER_KEY", "SMALLFLEET_PUBLISHER_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_key_is_read_by_its_owner_alone_and_gives_back_the_same_key(tmp_path: Path) -> None:
    made = make_key(tmp_path / "root.pem", ROOT, ask=False)
    assert stat.S_IMODE((tmp_path / "root.pem").stat().st_mode) == 0o600
    assert load_key(tmp_path / "root.pem", ROOT).public_key == made.public_key
    assert read_public_key(tmp_path / "root.pub").keyid == made.public_key.keyid


def test_no_key_is_written_over(tmp_path: Path) -> None:
    make_key(tmp_path / "root.pem", ROOT, ask=False)
    before = (tmp_path / "root.pem").read_bytes()
    with pytest.raises(LocalFileError, match="no key is ever written over"):
        make_key(tmp_path / "root.pem", ROOT, ask=False)
    assert (tmp_path / "root.pem").read_bytes() == before


@pytest.mark.parametrize("as_file", [False, True])
def test_passphrase_of_the_environment_locks_and_opens(
    as_file: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if as_file:
        (tmp_path / "words").write_text("correct horse\n")
        monkeypatch.setenv("SMALLFLEET_ROOT_PASSPHRASE_FILE", str(tmp_path / "words"))
    else:
        monkeypatch.setenv("SMALLFLEET_ROOT_PASSPHRASE", "correct horse")
    made = make_key(tmp_path / "root.pem", ROOT, ask=False)
    assert b"ENCRYPTED" in (tmp_path / "root.pem").read_bytes()
    assert load_key(tmp_path / "root.pem", ROOT).public_key == made.public_key
    monkeypatch.setenv("SMALLFLEET_ROOT_PASSPHRASE", "wrong")
    with pytest.raises(ConfigError, match="passphrase of the root key is wrong"):
        load_key(tmp_path / "root.pem", ROOT)
    monkeypatch.delenv("SMALLFLEET_ROOT_PASSPHRASE")
    monkeypatch.delenv("SMALLFLEET_ROOT_PASSPHRASE_FILE", raising=False)
    with pytest.raises(ConfigError, match="set SMALLFLEET_ROOT_PASSPHRASE"):
        load_key(tmp_path / "root.pem", ROOT)


def test_typed_passphrase_has_to_be_typed_twice_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["one", "two", "same", "same", ""])
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(typed))
    with pytest.raises(ConfigError, match="differ"):
        make_key(tmp_path / "root.pem", ROOT, ask=True)
    assert not list(tmp_path.iterdir())
    make_key(tmp_path / "root.pem", ROOT, ask=True)
    assert b"ENCRYPTED" in (tmp_path / "root.pem").read_bytes()


def test_publishers_key_comes_from_the_option_then_the_environment_then_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {name: make_key(tmp_path / f"{name}.pem", KeyRole.PUBLISHER, ask=False) for name in ("a", "b", "c", "d")}
    ids = {name: signer.public_key.keyid for name, signer in made.items()}
    folder = tmp_path / "a.pem"

    def used(given: Path | None = None) -> str:
        return publisher_key(given, folder).public_key.keyid

    assert used() == ids["a"]
    monkeypatch.setenv("SMALLFLEET_PUBLISHER_KEY_FILE", str(tmp_path / "b.pem"))
    assert used() == ids["b"]
    monkeypatch.setenv("SMALLFLEET_PUBLISHER_KEY", (tmp_path / "c.pem").read_text())
    assert used() == ids["c"]
    assert used(tmp_path / "d.pem") == ids["d"]


def test_missing_publisher_key_says_every_way_to_give_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--key FILE, or set SMALLFLEET_PUBLISHER_KEY \(the PEM text\)"):
        publisher_key(None, tmp_path / "publisher.pem")


def test_private_key_where_a_public_one_belongs_is_refused_with_the_way_out(tmp_path: Path) -> None:
    make_key(tmp_path / "publisher.pem", KeyRole.PUBLISHER, ask=False)
    with pytest.raises(LocalFileError, match=r"openssl pkey -in publisher\.pem -pubout"):
        read_public_key(tmp_path / "publisher.pem")


def test_other_kinds_of_keys_are_refused(tmp_path: Path) -> None:
    rsa = generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "rsa.pem").write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(LocalFileError, match="expected an ed25519 key"):
        load_key(tmp_path / "rsa.pem", ROOT)
    (tmp_path / "text.pem").write_text("no key")
    with pytest.raises(LocalFileError, match="no private key in PEM form"):
        load_key(tmp_path / "text.pem", ROOT)
    with pytest.raises(LocalFileError, match="no public key"):
        read_public_key(tmp_path / "text.pem")


def test_key_file_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="directory"):
        load_key(tmp_path, KeyRole.ROOT)
