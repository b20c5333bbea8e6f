"""Two at once: on SQLite and PostgreSQL alike exactly one wins, and what is live is what was stored last."""

from functools import partial

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from access.actors import SYSTEM
from registry.errors import MetadataDiffers, MetadataOutdated, StillSigned
from registry.models import MetadataFile, Variant, Version
from registry.services import yank_version
from registry.trust.services import accept_root, accept_targets, renew_metadata
from tests.factories.fleet import in_threads
from tests.factories.trust import new_key, signed_bytes, target_of
from tests.registry.trust.conftest import Home
from tests.registry.wire import sign_targets

pytestmark = pytest.mark.django_db(transaction=True)


def newest(role: str) -> MetadataFile:
    return MetadataFile.objects.get(role=role, superseded_at=None)


def test_of_two_publishers_at_once_one_wins_and_the_other_is_told_to_build_on_it(home: Home) -> None:
    contents = []
    for variant in (home.fp32, home.int8):
        home.signed.targets.version = 1
        contents.append((variant.name, home.signed.next_targets([target_of(variant)])))
    outcomes: dict[str, str] = {}

    def publish(name: str, content: bytes) -> None:
        try:
            accept_targets(actor=SYSTEM, model_line=home.line, version=2, content=content)
            outcomes[name] = "won"
        except MetadataOutdated:
            outcomes[name] = "outdated"

    in_threads(*(partial(publish, name, content) for name, content in contents))
    assert sorted(outcomes.values()) == ["outdated", "won"]
    (winner,) = [name for name, outcome in outcomes.items() if outcome == "won"]
    assert [variant.name for variant in Variant.objects.filter(is_live=True)] == [winner]
    assert f"1.0.0/{winner}" in newest("targets").content
    assert [newest(role).version for role in ("targets", "snapshot", "timestamp")] == [2, 2, 2]


def test_of_two_roots_at_once_one_is_the_next(home: Home) -> None:
    outcomes: list[str] = []
    first = home.signed.next_root(lambda root: root.add_key(new_key().public_key, "targets"))
    home.signed.root.expires = home.signed.root.expires.replace(second=0)
    second = signed_bytes(home.signed.root, home.signed.root_keys)

    def put(content: bytes) -> None:
        try:
            accept_root(actor=SYSTEM, model_line=home.line, version=2, content=content)
            outcomes.append("kept")
        except MetadataOutdated:
            outcomes.append("outdated")

    in_threads(partial(put, first), partial(put, second))
    assert sorted(outcomes) == ["kept", "outdated"]


def test_version_that_is_yanked_while_it_is_signed_is_never_both(publisher: APIClient, home: Home) -> None:
    assert sign_targets(publisher, home.signed).status_code == 201
    assert sign_targets(publisher, home.signed, *[]).status_code == 201  # nothing is live
    content = home.signed.next_targets([target_of(home.fp32)])
    outcomes: set[str] = set()

    def sign() -> None:
        try:
            accept_targets(actor=SYSTEM, model_line=home.line, version=4, content=content)
            outcomes.add("signed")
        except MetadataDiffers:
            outcomes.add("not signed")

    def yank() -> None:
        try:
            yank_version(actor=SYSTEM, version=home.fp32.version, reason="drifts")
            outcomes.add("yanked")
        except StillSigned:
            outcomes.add("not yanked")

    in_threads(sign, yank)
    assert outcomes in ({"signed", "not yanked"}, {"not signed", "yanked"})
    assert not Variant.objects.filter(is_live=True, version__state=Version.State.YANKED).exists()


def test_two_workers_renew_once(home: Home) -> None:
    MetadataFile.objects.filter(role="timestamp").update(expires_at=timezone.now())
    renewed: list[int] = []
    in_threads(*[lambda: renewed.append(renew_metadata())] * 3)
    assert sorted(renewed) == [0, 0, 1]
    assert newest("timestamp").version == 2
