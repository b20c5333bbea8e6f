"""docs/compression.md has today's keys, and its recipe is one."""

from pathlib import Path

from compression.recipes import parse_recipe
from compression.recipes.reference import put_reference

PAGE = Path(__file__).parents[2] / "docs/compression.md"


def test_page_has_every_key_as_the_code_has_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert put_reference(text) == text, "python -m compression.recipes.reference docs/compression.md"


def test_recipe_on_the_page_can_be_read() -> None:
    document = PAGE.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    assert [variant.name for variant in parse_recipe(document).variants] == ["slim-int8", "fp16"]
