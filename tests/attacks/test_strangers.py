"""Attacks on a device's first trust: enrollment at a lying server, and files that somebody hands over."""

import io
import json
import tarfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.asserting import NEW, OLD
from tests.attacks.scene import LISTS, Play
from tests.attacks.schemes import SCHEMES
from tests.attacks.thief import LINE, Files

attack = pytest.mark.attack
NO_TRUST = 12


@attack("enrollment at a server that shows a root of its own", "did not enroll: the token's pin is another root's")
def test_lying_root_enrolls_nobody(play: Play) -> None:
    device = play.new_device()
    with play.attacker("forged_root", first=True) as attacker:
        ended = device.run("enroll", "--token-file", "-", told=play.scene.enrollment)
        assert ended.exit_code == NO_TRUST, ended.log
        assert device.run("once").exit_code != 0
        assert not attacker.requests("poll")
        assert not attacker.requests("artifacts")
        assert device.served is None
    with play.honest():
        assert device.run("enroll", "--token-file", "-", told=play.scene.enrollment).exit_code == 0


@attack("enrollment with a token from which somebody cut the pins", "did not enroll: nothing says which root is right")
def test_no_pin_enrolls_nobody(play: Play) -> None:
    device = play.new_device()
    with play.attacker("forged_root", first=True) as attacker:
        ended = device.run("enroll", "--token-file", "-", told=play.scene.enrollment.partition(":")[0])
        assert ended.exit_code == NO_TRUST, ended.log
        assert not attacker.requests("poll")


def as_news(files: Files) -> dict[str, Any]:
    """A news document with all files."""
    roots = [text.decode() for _number, text in sorted(files.roots.items())]
    newest = {"timestamp": files.timestamp, "snapshot": files.snapshot, "targets": files.targets}
    return {"roots": roots, **{role: text.decode() for role, text in newest.items()}}


def repacked(bundle: Path, out: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy of a bundle with members changed."""
    with tarfile.open(bundle) as source, tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as target:
        for member in source:
            read = source.extractfile(member)
            assert read is not None
            content = change(member.name, read.read())
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return out


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        pytest.param(
            "forged_targets",
            {"key": "foreign"},
            marks=attack("bundle with a forged list", "refused it, with exit code 12"),
        ),
        pytest.param(
            "rollback",
            {"role": "targets", "to": LISTS["1.0.7"], "version": "1.0.5"},
            marks=attack("bundle with metadata from before a withdrawal", "refused it, with exit code 12"),
        ),
        pytest.param("forged_root", {}, marks=attack("bundle with a forged root", "refused it, with exit code 12")),
    ],
)
def test_forged_bundle_is_refused(play: Play, tmp_path: Path, scheme: str, options: dict[str, Any]) -> None:
    plan = SCHEMES[scheme](play.thief(), **options)
    device = play.device()

    def change(name: str, content: bytes) -> bytes:
        return json.dumps(as_news(plan.files[LINE])).encode() if name == "trust.json" else content

    ended = device.run("install", str(repacked(play.scene.bundle, tmp_path / "forged", change)))
    assert ended.exit_code == NO_TRUST, ended.log
    assert device.served == play.models[OLD]


@attack("bundle whose model is another than the signed one", "failed the attempt, serves what it served")
def test_bundle_with_another_model_is_refused(play: Play, tmp_path: Path) -> None:
    device = play.device()

    def change(name: str, content: bytes) -> bytes:
        return content[:-1] + b"\x00" if name.endswith(play.models[NEW]) else content

    ended = device.run("install", str(repacked(play.scene.bundle, tmp_path / "forged", change)))
    assert ended.exit_code not in {0, 1}, ended.log
    assert device.served == play.models[OLD]


@attack("bundle that has expired", "refused it, with exit code 12")
def test_expired_bundle_is_refused(play: Play) -> None:
    device = play.device()
    ended = device.run("install", str(play.scene.bundle), clock=f"wall@{timedelta(days=31).total_seconds()}")
    assert ended.exit_code == NO_TRUST, ended.log
    assert device.served == play.models[OLD]
    assert device.run("install", str(play.scene.bundle)).exit_code == 0
    assert device.served == play.models[NEW]
