"""`smallfleet trust` against the real server: what it makes, changes, refuses and says."""

import os
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from client.demo.models import DemoModel
from client.rest import RestClient
from client.trust.folder import LineFolder
from client.trust.keys import KeyRole, load_key, make_key, read_public_key, short
from client.trust.line import LineTrust
from registry.models import MetadataFile, Variant

pytestmark = pytest.mark.django_db(transaction=True)


def publish(said: Any, version: str = "1.0.0", variant: str = "int8", *options: str, code: int = 0) -> str:
    """Publish one of the committed models by the command line."""
    printed: str = said("publish", *DemoModel(version, variant).publish_arguments(), *options, code=code)
    return printed


def live() -> set[str]:
    """What the server takes for live."""
    rows = Variant.objects.filter(is_live=True).values_list("version__version", "name")
    return {f"{version}/{name}" for version, name in rows}


def keyid(file: Path) -> str:
    return read_public_key(file.with_suffix(".pub")).keyid


def test_init_makes_keys_that_nobody_else_reads_and_says_where_they_go(trust_dir: Path, said: Any) -> None:
    text = said("trust", "init", "digits", "--create-model")
    folder = trust_dir / "digits"
    assert sorted(file.name for file in folder.iterdir()) == [
        "1.root.json",
        "publisher.pem",
        "publisher.pub",
        "root.pem",
        "root.pub",
        "targets.json",
    ]
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in ("root.pem", "publisher.pem")] == [0o600, 0o600]
    assert "*.pem" in (trust_dir / ".gitignore").read_text()
    assert f"{folder / 'root.pem'}   take it offline" in text
    assert f"{folder / 'publisher.pem'}   goes into CI" in text
    assert "trust renew digits --root" in text


def test_second_init_changes_nothing_and_says_what_there_is(line: LineTrust, said: Any) -> None:
    before = {file: file.read_bytes() for file in line.folder.path.iterdir()}
    assert "digits has trust already (root 1)" in said("trust", "init", "digits", code=2)
    assert {file: file.read_bytes() for file in line.folder.path.iterdir()} == before


def test_init_elsewhere_is_refused_before_a_key_is_made(line: LineTrust, said: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    text = said("trust", "init", "digits", "--trust-dir", str(other), code=2)
    assert "bring the public *.root.json files" in text
    text = publish(said, "1.0.0", "int8", "--trust-dir", str(tmp_path), code=6)
    assert "if the line has no trust yet, run that" in text
    assert not (other / "digits").exists()


def test_init_of_a_line_that_is_not_there_is_refused_without_create_model(said: Any, trust_dir: Path) -> None:
    assert "--create-model" in said("trust", "init", "digist", code=2)


def test_init_that_was_cut_before_the_server_heard_goes_on_with_the_same_keys(line: LineTrust, said: Any) -> None:
    MetadataFile.objects.all().delete()
    (line.folder.path / "targets.json").unlink()
    before = keyid(line.folder.root_key)
    assert "digits has trust: root 1" in said("trust", "init", "digits")
    assert keyid(line.folder.root_key) == before
    assert said("trust", "status", "digits")


def test_init_with_a_publishers_own_key_leaves_the_first_list_to_him(
    trust_dir: Path, said: Any, tmp_path: Path
) -> None:
    make_key(tmp_path / "ci.pem", KeyRole.PUBLISHER, ask=False)
    text = said("trust", "init", "digits", "--create-model", "--public-key", str(tmp_path / "ci.pub"))
    assert "the publisher signs the first list" in text
    assert not (trust_dir / "digits" / "publisher.pem").exists()
    assert "there is no list yet" in said("trust", "status", "digits", code=1)
    assert "list 1" in said("trust", "renew", "digits", "--key", str(tmp_path / "ci.pem"))
    said("trust", "status", "digits")


def test_status_of_a_fresh_line_has_nothing_to_warn_of(line: LineTrust, said: Any, printed: Any) -> None:
    text = said("trust", "status", "digits")
    assert "root 1" in text
    assert "list 1" in text
    assert "(publisher.pub here)" in text
    [status] = printed("trust", "status")
    assert status["warnings"] == []
    assert status["targets"]["live"] == []
    assert {"snapshot", "timestamp"} <= status.keys()


def test_status_warns_and_ends_with_one_when_something_ends_soon(line: LineTrust, said: Any) -> None:
    text = said("trust", "status", "digits", "--warn-days", "30", code=1)
    assert "the list ends in 28.0 days: `smallfleet trust renew digits`" in text
    assert "the root ends" not in text
    assert "`smallfleet trust renew digits --root`" in said("trust", "status", "--warn-days", "370", code=1)


def test_publish_signs_and_yank_signs_out(line: LineTrust, said: Any, printed: Any) -> None:
    assert "signed in list 2" in publish(said)
    assert live() == {"1.0.0/int8"}
    assert "nothing changed" in publish(said)
    assert "signed in list 3" in publish(said, "1.0.0", "int8", "--limit", "peak_memory_mib=64")
    [status] = printed("trust", "status")
    [target] = status["targets"]["live"]
    assert target["custom"]["limits"] == {"peak_memory_bytes": 64 * 2**20}
    text = publish(said, "1.0.0", "int8")
    assert 'signed otherwise than before: limits, was {"peak_memory_bytes": 67108864}' in text
    assert "tolerances" not in text
    text = said("yank", "digits", "1.0.0", "--reason", "wrong labels")
    assert text.startswith("yanked: digits 1.0.0, list 5 is signed without it")
    assert live() == set()
    assert said("yank", "digits", "1.0.0", "--reason", "again").startswith("yanked: digits 1.0.0\n")


def test_publish_without_the_key_or_the_root_says_what_is_missing(line: LineTrust, said: Any, tmp_path: Path) -> None:
    line.folder.publisher_key.rename(tmp_path / "away.pem")
    assert "no publisher key: give --key FILE" in publish(said, code=2)
    text = publish(said, "1.0.0", "int8", "--trust-dir", str(tmp_path), "--key", str(tmp_path / "away.pem"), code=6)
    assert "bring the public *.root.json files" in text
    assert live() == set()


def test_key_that_is_no_publishers_is_refused_and_told_what_to_do(line: LineTrust, said: Any, tmp_path: Path) -> None:
    make_key(tmp_path / "mine.pem", KeyRole.PUBLISHER, ask=False)
    text = publish(said, "1.0.0", "int8", "--key", str(tmp_path / "mine.pem"), code=6)
    assert "trust add-publisher digits --public-key FILE" in text


def test_second_publisher_signs_on_top_of_the_first(line: LineTrust, said: Any, tmp_path: Path) -> None:
    make_key(tmp_path / "second.pem", KeyRole.PUBLISHER, ask=False)
    text = said("trust", "add-publisher", "digits", "--public-key", str(tmp_path / "second.pub"))
    assert "is a publisher of digits from root 2 on" in text
    assert f"commit {line.folder.path}/*.root.json, now up to 2" in text
    publish(said, "1.0.0", "int8")
    publish(said, "1.1.0", "int8", "--key", str(tmp_path / "second.pem"))
    assert live() == {"1.0.0/int8", "1.1.0/int8"}
    assert "already" in said("trust", "add-publisher", "digits", "--public-key", str(tmp_path / "second.pub"), code=2)


def test_changing_who_signs_needs_the_root_key(line: LineTrust, said: Any, tmp_path: Path) -> None:
    drawer = tmp_path / "drawer.pem"
    line.folder.root_key.rename(drawer)
    make_key(tmp_path / "second.pem", KeyRole.PUBLISHER, ask=False)
    adding = ("trust", "add-publisher", "digits", "--public-key", str(tmp_path / "second.pub"))
    assert "say with an option where the root key is" in said(*adding, code=5)
    text = said(*adding, "--root-key", str(line.folder.publisher_key), code=6)
    assert "this is not the root key of digits" in text
    assert "from root 2 on" in said(*adding, "--root-key", str(drawer))


def test_renewal_signs_every_line_and_one_that_cannot_be_does_not_stop_the_others(
    line: LineTrust, said: Any, printed: Any
) -> None:
    publish(said)
    said("trust", "init", "kws", "--create-model")
    assert [(row["model"], row["targets"]["version"]) for row in printed("trust", "renew")] == [
        ("digits", 3),
        ("kws", 2),
    ]
    assert live() == {"1.0.0/int8"}
    line.folder.publisher_key.rename(line.folder.path / "away.pem")
    text = said("trust", "renew", code=2)
    assert "digits: no publisher key" in text
    assert "kws: list 3 ends on" in text


def test_root_is_renewed_with_its_key(line: LineTrust, said: Any) -> None:
    assert "digits: root 2 ends on" in said("trust", "renew", "digits", "--root")
    publish(said)


def test_list_that_ended_is_signed_again_only_knowingly(real: RestClient, line: LineTrust, said: Any) -> None:
    publish(said)
    in_a_month = datetime.now(UTC) + timedelta(days=29)
    late = LineTrust(real, line.folder, clock=lambda: in_a_month)
    targets = late.targets_of(late.shown())
    with pytest.raises(Exception, match=r"renew digits --expired"):
        late.require_fresh(targets)
    with pytest.raises(Exception, match=r"renew digits --expired"):
        late.change_targets(lambda live: live, load_key(line.folder.publisher_key, KeyRole.PUBLISHER), always=True)


def test_old_list_is_not_signed_on_top_of(line: LineTrust, said: Any) -> None:
    """A stolen server shows the list from before a yank, so that the publisher brings the version back."""
    publish(said)
    old = MetadataFile.objects.get(role="targets", version=2)
    said("yank", "digits", "1.0.0", "--reason", "it is dangerous")
    MetadataFile.objects.filter(role="targets", superseded_at=None).delete()
    old.superseded_at = None
    old.save()
    text = said("trust", "renew", "digits", code=6)
    assert "shows list 2 of digits" in text
    assert "has seen 3" in text
    assert "--restored" in text


def test_yank_does_not_take_a_servers_word_that_nothing_is_signed(line: LineTrust, said: Any) -> None:
    """A stolen server that hides a line's metadata would keep the version alive on its devices, and the publisher content."""
    publish(said)
    MetadataFile.objects.all().delete()
    assert "digits has no trust on" in said("yank", "digits", "1.0.0", "--reason", "it is dangerous", code=2)


def test_server_from_a_backup_is_brought_to_where_the_folder_was(line: LineTrust, said: Any) -> None:
    publish(said)
    said("trust", "renew", "digits", "--root")
    said("trust", "renew", "digits")
    MetadataFile.objects.filter(version__gt=1).exclude(role__in=("snapshot", "timestamp")).delete()
    MetadataFile.objects.filter(role__in=("root", "targets")).update(superseded_at=None)
    assert "digits: list 4 ends on" in said("trust", "renew", "digits", "--restored")
    assert live() == {"1.0.0/int8"}
    said("trust", "status", "digits")


def test_root_key_is_rotated_and_the_old_one_kept_aside(line: LineTrust, said: Any) -> None:
    old = keyid(line.folder.root_key)
    text = said("trust", "rotate", "digits", "--role", "root")
    assert "from root 2 on" in text
    assert keyid(line.folder.root_key) != old
    assert keyid(line.folder.path / "root.old-1.pem") == old
    said("trust", "renew", "digits", "--root", "--root-key", str(line.folder.path / "root.old-1.pem"), code=6)
    assert "root 3" in said("trust", "renew", "digits", "--root")


def test_publisher_key_is_rotated_and_what_is_live_stays_so(line: LineTrust, said: Any) -> None:
    publish(said)
    old = keyid(line.folder.publisher_key)
    text = said("trust", "rotate", "digits", "--role", "publisher")
    assert "into CI as its secret" in text
    assert live() == {"1.0.0/int8"}
    assert keyid(line.folder.publisher_key) != old
    assert line.shown().root.keyids("targets") == [keyid(line.folder.publisher_key)]
    aside = line.folder.path / "publisher.old-1.pem"
    assert "is no publisher" in said("trust", "renew", "digits", "--key", str(aside), code=6)
    publish(said, "1.1.0", "int8")
    assert live() == {"1.0.0/int8", "1.1.0/int8"}


@pytest.mark.parametrize("role", ["root", "publisher"])
def test_rotation_that_was_cut_before_the_keys_changed_places_is_finished(
    role: str, line: LineTrust, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(said)
    rename = Path.rename

    def cut(self: Path, target: Path) -> Path:
        if self.name.endswith((".pem", ".pub")):
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", cut)
        said("trust", "rotate", "digits", "--role", role, code=130)
    reached = line.shown().root.version
    said("trust", "rotate", "digits", "--role", role)
    file = line.folder.root_key if role == "root" else line.folder.publisher_key
    shown = line.shown().root
    assert shown.version == reached
    assert shown.keyids("root" if role == "root" else "targets") == [keyid(file)]
    assert not list(line.folder.path.glob("*.new.*"))
    assert live() == {"1.0.0/int8"}


def test_online_keys_are_taken_anew_only_when_the_server_has_new_ones(
    line: LineTrust, said: Any, settings: Any, tmp_path: Path
) -> None:
    publish(said)
    assert "let the server have new ones first" in said("trust", "rotate", "digits", "--role", "online", code=2)
    before = line.shown()
    settings.SMALLFLEET_KEYS = tmp_path / "new-keys"
    text = said("trust", "rotate", "digits", "--role", "online")
    assert "root 2 names the server's present online keys" in text
    after = line.shown().root
    for role in ("snapshot", "timestamp"):
        assert set(after.keyids(role)).isdisjoint(before.root.keyids(role))
    assert live() == {"1.0.0/int8"}
    said("trust", "renew", "digits")


def steal(line: LineTrust, tmp_path: Path) -> LineTrust:
    """The line as somebody sees it who copied the publisher's key and the folder's public files."""
    stolen = LineFolder.of(tmp_path / "thief", "digits")
    shutil.copytree(line.folder.path, stolen.path)
    stolen.root_key.unlink()
    return LineTrust(line.rest, stolen)


def test_stolen_publisher_key_is_revoked_and_what_it_did_undone(
    line: LineTrust, said: Any, printed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(said, "1.0.0", "int8")
    thief = steal(line, tmp_path)
    stolen_key = keyid(thief.folder.publisher_key)
    monkeypatch.setenv("SMALLFLEET_TRUST_DIR", str(thief.folder.path.parent))
    publish(said, "1.1.0", "fp32")
    monkeypatch.setenv("SMALLFLEET_TRUST_DIR", str(line.folder.path.parent))
    assert live() == {"1.0.0/int8", "1.1.0/fp32"}

    text = said("trust", "revoke", "digits", short(stolen_key), code=2)
    assert "list 3 of digits differs from list 2" in text
    assert "added: 1.1.0/fp32" in text
    assert line.shown().root.version == 1

    done = printed("trust", "revoke", "digits", short(stolen_key), "--keep", "1.0.0/int8")
    assert done["root"]["publishers"] == [keyid(line.folder.publisher_key)] != [stolen_key]
    assert live() == {"1.0.0/int8"}
    stolen = str(thief.folder.publisher_key)
    assert "is no publisher of digits" in publish(said, "1.1.0", "fp32", "--key", stolen, code=6)
    assert "signed in list 5" in publish(said, "1.1.0", "int8")


def test_revocation_without_changes_needs_no_choice_and_another_publisher_signs(
    line: LineTrust, said: Any, tmp_path: Path
) -> None:
    make_key(tmp_path / "second.pem", KeyRole.PUBLISHER, ask=False)
    said("trust", "add-publisher", "digits", "--public-key", str(tmp_path / "second.pub"))
    publish(said)
    first = keyid(line.folder.publisher_key)
    text = said("trust", "revoke", "digits", first, code=2)
    assert "is the key that is to go" in text
    text = said("trust", "revoke", "digits", first, "--key", str(tmp_path / "second.pem"))
    assert f"signed by {short(keyid(tmp_path / 'second.pem'))}; live: 1.0.0/int8" in text
    assert line.shown().root.keyids("targets") == [keyid(tmp_path / "second.pem")]
    assert live() == {"1.0.0/int8"}


def test_revocation_that_was_cut_after_the_root_is_finished(line: LineTrust, said: Any, monkeypatch: Any) -> None:
    publish(said)
    old = keyid(line.folder.publisher_key)

    def cut(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LineTrust, "put_targets", cut)
        said("trust", "revoke", "digits", old, code=130)
    assert live() == set()  # nothing that the key signed counts any more
    assert "signed by no publisher that root 2 names" in said("trust", "status", "digits", code=1)
    said("trust", "revoke", "digits", old)
    assert line.shown().root.version == 2
    assert live() == {"1.0.0/int8"}
    said("trust", "status", "digits")


@pytest.mark.parametrize(("which", "word"), [("root", "--role root"), ("timestamp", "--role online")])
def test_keys_that_are_no_publishers_are_rotated_and_not_revoked(
    which: str, word: str, line: LineTrust, said: Any
) -> None:
    [other] = line.shown().root.keyids(which)
    assert word in said("trust", "revoke", "digits", other, code=2)
    assert "no publisher has a key" in said("trust", "revoke", "digits", "0123456789abcdef", code=2)


def test_secret_keys_and_passphrases_are_never_printed(
    said: Any, trust_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLFLEET_ROOT_PASSPHRASE", "marker-of-the-root")
    monkeypatch.setenv("SMALLFLEET_PUBLISHER_PASSPHRASE", "marker-of-the-publisher")
    text = said("trust", "init", "digits", "--create-model") + said("trust", "status") + said("trust", "renew")
    text += said("trust", "rotate", "digits", "--role", "publisher") + said(
        "trust", "rotate", "digits", "--role", "root"
    )
    monkeypatch.setenv("SMALLFLEET_PUBLISHER_PASSPHRASE", "wrong-marker")
    text += said("trust", "renew", "digits", code=2)
    assert "marker" not in text
    assert "PRIVATE" not in text
    for file in (trust_dir / "digits").glob("*.json"):
        assert b"PRIVATE" not in file.read_bytes()
    assert os.environ["SMALLFLEET_ROOT_PASSPHRASE"]  # it was in use all along
