"""Orphans are removed, what is used or young is not."""

import os
import time
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from registry.collection import collect_orphans
from registry.models import Artifact
from registry.storage import store as current_store
from tests.factories.registry import (
    digest,
    make_artifact,
    make_line,
    make_patch,
    make_variant,
    make_version,
    onnx_model,
)
from tests.registry.wire import files_in

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def _age(store: Path) -> None:
    """Make everything in the store and the database two days old."""
    old = time.time() - 2 * 86_400
    for path in files_in(store):
        os.utime(path, (old, old))
    Artifact.objects.update(created_at=timezone.now() - 2 * DAY)


def _store_without_row(content: bytes) -> str:
    with current_store().stage() as staged:
        staged.write(content)
        current_store().commit(staged, digest(content))
    return digest(content)


def test_old_orphans_are_removed(store: Path) -> None:
    artifact = make_artifact(onnx_model())
    orphan = _store_without_row(b"without a row")
    (store / "staging" / "staged-abc").write_bytes(b"dead upload")
    (store / "staging" / ".staged-abc.123.partial").write_bytes(b"dead encoder")
    _age(store)
    collected = collect_orphans(older_than=DAY)
    assert (collected.staged, collected.files, collected.artifacts) == (2, 1, 1)
    assert files_in(store) == []
    assert not Artifact.objects.filter(sha256__in=[artifact.sha256, orphan]).exists()


def test_young_orphans_are_spared(store: Path) -> None:
    make_artifact(onnx_model())
    _store_without_row(b"an upload that is about to get its row")
    (store / "staging" / "staged-abc").write_bytes(b"an upload")
    before = files_in(store)
    collect_orphans(older_than=DAY)
    assert files_in(store) == before


def test_used_artifacts_are_spared_whoever_uses_them(store: Path) -> None:
    """A variant's model and its base for a rung, a contract, a patch's sides and its file."""
    version = make_version(make_line())
    make_variant(version)
    base, target = make_artifact(onnx_model(5)), make_artifact(onnx_model(6))
    make_patch(base, target, b"patch")
    _age(store)
    before = files_in(store)
    collected = collect_orphans(older_than=DAY)
    assert (collected.files, collected.artifacts) == (0, 0)
    assert files_in(store) == before


def test_artifact_whose_file_is_lost_goes_too(store: Path) -> None:
    artifact = make_artifact(onnx_model())
    _age(store)
    current_store().delete(artifact.sha256)
    assert collect_orphans(older_than=DAY).artifacts == 1


def test_command_says_what_it_removed(store: Path) -> None:
    make_artifact(onnx_model())
    _age(store)
    out = StringIO()
    call_command("collect_orphans", hours=24, stdout=out)
    assert "removed 0 staged files, 0 files without a row, 1 artifacts without a use" in out.getvalue()
