"""How variants were made stands on the page of their model line."""

import pytest
from django.test import Client

from registry.models import Variant
from tests.factories.scenario import make_scenario
from tests.fleet.dashboards.test_pages import text_of

pytestmark = pytest.mark.django_db
RECIPE = {
    "schema": "smallfleet-recipe/1",
    "recipe": '[[step]]\ndo = "prune" # <b>most</b>',
    "seed": 7,
    "source_sha256": "a" * 64,
    "versions": {"torch": "2.13.0", "absent": None},
    "machine": "Linux x86_64",
    "steps": [
        {"do": "prune", "options": {"sparsity": 0.9, "layers": ["conv1", "conv2"]}, "facts": {"weights_left": 12345}},
        {"do": "share", "options": {"values": True}},
    ],
}


def test_page_shows_steps_options_facts_versions_and_digests(viewer: Client) -> None:
    make_scenario(3)
    variant = Variant.objects.filter(version__model_line__name="digits", version__version="1.1.0").first()
    assert variant is not None
    Variant.objects.filter(pk=variant.pk).update(recipe=RECIPE)
    shown = text_of(viewer.get("/models/digits/"))
    assert "How they were made" in shown
    assert f"<strong>1.1.0 {variant.name}</strong>" in shown
    for words in (
        "prune → share",
        "<code>sparsity</code> 0.9",
        "<code>layers</code> [&quot;conv1&quot;, &quot;conv2&quot;]",
        "<code>weights_left</code> 12 345",
        "<code>values</code> yes",
        "a" * 64,
        "torch 2.13.0",
        "Linux x86_64",
        "# &lt;b&gt;most&lt;/b&gt;",
    ):
        assert words in shown, words
    assert "absent" not in shown.split("How they were made")[1].split("</section>")[0].replace('class="absent"', "")


def test_page_of_a_line_without_recipes_says_nothing_of_them(viewer: Client) -> None:
    make_scenario(3)
    assert "How they were made" not in text_of(viewer.get("/models/digits/"))
