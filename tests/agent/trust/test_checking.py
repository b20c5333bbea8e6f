"""What the daemon takes from its checking child, which may have been broken into: nothing that it could be harmed by."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent import children
from agent.trust.checking import check
from agent.trust.files import MAX_TARGETS, NEWS_FILE, ROLES, VERIFIED_FILE
from agent.trust.rules import REFUSED
from tests.agent.repository import Repository
from tests.agent.standin import sha256
from tests.factories.trust import make_target

LINE = "digits"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_longest_list_that_may_be_signed_is_read_whole(tmp_path: Path) -> None:
    line = Repository(LINE)
    classes = [f"device-class-with-a-long-name-{number:02d}" for number in range(64)]
    for number in range(MAX_TARGETS):
        version = f"1.{number}.0"
        line.publish(make_target(LINE, version, "fp32", version.encode(), contract=b"{}", device_classes=classes))
    news = json.dumps(line.news()).encode()
    found = check(tmp_path / "work", LINE, {}, pin=sha256(line.roots[0].encode()), news=news, at=NOW, nice=0)
    assert found.denied is None
    assert found.says is not None
    assert [len(target.device_classes) for target in found.says.targets] == [64] * MAX_TARGETS


def _nothing(_file: Path) -> None:
    pass


def _link_to_a_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _broken_link(file: Path) -> None:
    file.symlink_to("nowhere")


def _folder(file: Path) -> None:
    file.mkdir()


def _too_long(file: Path) -> None:
    with file.open("wb") as out:
        out.truncate(1 << 40)


def _time_out_of_range(file: Path) -> None:
    versions = dict.fromkeys(ROLES, 1)
    time = "0001-01-01T00:00:00+14:00"
    says = {"versions": versions, "expires_at": time, "online_expires_at": time, "targets": []}
    file.write_text(json.dumps({**dict.fromkeys(ROLES, "x"), "says": says}))


@pytest.mark.parametrize(
    "leave", [_nothing, os.mkfifo, _link_to_a_device, _broken_link, _folder, _too_long, _time_out_of_range]
)
def test_child_that_leaves_something_else_than_a_file_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leave: Callable[[Path], None]
) -> None:
    def broken_into(_command: object, **_limits: object) -> children.Ended:
        assert (tmp_path / "work" / NEWS_FILE).exists()
        leave(tmp_path / "work" / VERIFIED_FILE)
        return children.Ended(0, b'{"error": null, "detail": "", "root": true}', "")

    monkeypatch.setattr(children, "run", broken_into)
    found = check(tmp_path / "work", LINE, {}, pin="ab" * 32, news=b"{}", at=NOW, nice=0)
    assert (found.files, found.says) == ({}, None)
    assert found.denied is not None
    assert found.denied.rule == REFUSED


def test_words_of_the_child_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = b'{"error": "%s", "detail": "%s", "root": false}' % (b"e" * 9000, b"d" * 9000)
    monkeypatch.setattr(children, "run", lambda *_c, **_l: children.Ended(0, answer, ""))
    found = check(tmp_path / "work", LINE, {}, pin="ab" * 32, news=b"{}", at=NOW, nice=0)
    assert found.denied is not None
    assert len(found.denied.detail) < 1000, "it is written into the state with every step"
