"""What the page of a model line says of its trust, in words that a browser shows."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from tuf.api.metadata import Root

from access.actors import SYSTEM
from fleet.rollouts.models import Rollout
from registry.models import MetadataFile, ModelLine, Variant
from registry.trust.services import accept_root
from tests.factories.fleet import make_variant
from tests.factories.people import make_person
from tests.factories.scenario import make_scenario
from tests.factories.trust import SignedLine, new_key, trust_line

pytestmark = pytest.mark.django_db


def shown(client: Client, name: str = "digits") -> str:
    """The section's text."""
    page = client.get(f"/models/{name}/").content.decode()
    section = page.partition('aria-labelledby="trust"')[2].partition("</section>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", section).split())


@pytest.fixture
def signed() -> SignedLine:
    """A line with one live target."""
    variant = make_variant()
    return trust_line(variant.version.model_line, variant)


def expire(role: str, left: timedelta) -> None:
    """Let the newest file of a role have so much left."""
    MetadataFile.objects.filter(role=role, superseded_at=None).update(
        expires_at=timezone.now() + left + timedelta(minutes=1)
    )


def test_line_that_nobody_signs_says_how_to_begin(viewer: Client) -> None:
    ModelLine.objects.create(name="digits")
    text = shown(viewer)
    assert "smallfleet trust init digits" in text


def test_keys_targets_and_dates_stand_there_and_nothing_warns(viewer: Client, signed: SignedLine) -> None:
    text = shown(viewer)
    assert "1 of at most 32 targets are live: 1.0.0 fp32." in text
    for key in (*signed.root_keys, *signed.publishers):
        assert key.public_key.keyid[:8] in text
    assert re.search(r"targets in 29 d a publisher 1", text)
    assert MetadataFile.objects.get(role="root").sha256 in text
    assert "smallfleet trust" not in text


@pytest.mark.parametrize(
    ("role", "left", "said"),
    [
        ("targets", timedelta(days=6), "The targets metadata expires in 6 d ; run smallfleet trust renew digits ."),
        (
            "targets",
            timedelta(days=-3),
            "install nothing new; run smallfleet trust renew digits --expired .",
        ),
        ("root", timedelta(days=20), "expires in 20 d ; run smallfleet trust renew digits --root ."),
        ("timestamp", timedelta(hours=30), "expires in 30 h ; see that smallfleet worker runs"),
        ("snapshot", timedelta(days=-1, minutes=-2), "The snapshot metadata expired 24 h ago"),
    ],
)
def test_what_expires_soon_or_has_expired_says_what_to_do(
    viewer: Client, signed: SignedLine, role: str, left: timedelta, said: str
) -> None:
    expire(role, left)
    assert said in shown(viewer)


@pytest.mark.parametrize(("role", "left"), [("targets", 7), ("root", 30), ("snapshot", 10), ("timestamp", 2)])
def test_nothing_warns_a_day_too_early(viewer: Client, signed: SignedLine, role: str, left: int) -> None:
    expire(role, timedelta(days=left))
    assert "expires" not in shown(viewer)


def test_first_page_names_what_ends_soon_of_every_line(viewer: Client, signed: SignedLine) -> None:
    words = make_variant(line="words")
    trust_line(words.version.model_line, words)
    assert "metadata of" not in viewer.get("/").content.decode()
    MetadataFile.objects.filter(role="targets", model_line__name="words").update(expires_at=timezone.now())
    expire("root", timedelta(days=20))
    page = " ".join(re.sub(r"<[^>]+>", " ", viewer.get("/").content.decode()).split())
    assert "The targets metadata of words expired" in page
    assert "smallfleet trust renew words --expired" in page
    for line in ("digits", "words"):
        assert f"The root metadata of {line} expires in 20 d ; run smallfleet trust renew {line} --root ." in page


def test_first_page_tells_only_of_lines_that_one_may_see(db: None, client: Client, signed: SignedLine) -> None:
    expire("targets", timedelta(days=1))
    for line, sees in (("words", False), ("digits", True)):
        client.force_login(make_person(f"viewer:{line}"))
        assert ("metadata of" in client.get("/").content.decode()) is sees


def test_targets_by_a_revoked_publisher_are_said_to_need_a_signature(viewer: Client, signed: SignedLine) -> None:
    def replace(root: Root) -> None:
        root.revoke_key(signed.publishers[0].public_key.keyid, "targets")
        root.add_key(new_key().public_key, "targets")

    line = ModelLine.objects.get()
    accept_root(actor=SYSTEM, model_line=line, version=2, content=signed.next_root(replace))
    text = shown(viewer)
    assert "Root 2 does not take the signatures of targets 1 any more" in text
    assert "0 of at most 32 targets are live" in text


def test_variant_that_is_not_live_is_marked_and_cannot_be_rolled_out(operator: Client) -> None:
    make_scenario(3)
    before = operator.get("/models/digits/").content.decode()
    assert "not live" not in before
    Variant.objects.filter(version__version="1.1.0", name="int8").update(is_live=False)
    after = operator.get("/models/digits/").content.decode()
    assert after.count("not live") == 1
    assert after.count("?variant=") == before.count("?variant=") - 1


def test_running_rollout_of_a_target_that_was_signed_out_says_why_nothing_moves(viewer: Client) -> None:
    scenario = make_scenario(3)
    assert scenario.running
    page = f"/rollouts/{scenario.running.pk}/"
    assert "signed targets metadata" not in viewer.get(page).content.decode()
    Variant.objects.filter(pk=Rollout.objects.get(pk=scenario.running.pk).target_id).update(is_live=False)
    assert "is no longer in the signed targets metadata" in viewer.get(page).content.decode()
