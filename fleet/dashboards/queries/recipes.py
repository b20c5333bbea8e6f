"""How variants were made, in the words of the page. Pure: stored documents in, rows out; whatever is not in a document is left out."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.dashboards.formats import ABSENT, count_text
from registry.models import Version

_LONGEST_VALUE = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it did, its options and what it found, each as name and words."""

    do: str
    options: list[tuple[str, str]]
    facts: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one variant was made.

    Attributes:
        label: version and variant.
        facts: seed, digests and machine, name and words.
        versions: of the packages that made it.
        text: the recipe as it was read, TOML; empty where the document has none.
    """

    label: str
    steps: list[Step]
    facts: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    text: str

    @property
    def summary(self) -> str:
        """The steps in one line."""
        return " → ".join(step.do for step in self.steps) or "no step"


def recipes_of(versions: Iterable[Version]) -> list[Recipe]:
    """Of every variant that has one, in the order of the versions."""
    return [
        _recipe(f"{version.version} {variant.name}", variant.recipe)
        for version in versions
        for variant in version.variants.all()
        if variant.recipe is not None
    ]


def _recipe(label: str, document: Mapping[str, Any]) -> Recipe:
    shown = {
        "seed": "seed",
        "source_sha256": "made from",
        "dataset_sha256": "data set",
        "held_out": "samples held out",
        "machine": "machine",
    }
    return Recipe(
        label=label,
        steps=[
            Step(step["do"], _pairs(step.get("options") or {}), _pairs(step.get("facts") or {}))
            for step in document["steps"]
        ],
        facts=[(words, _words(document[name])) for name, words in shown.items() if document.get(name) is not None],
        versions=[(name, version) for name, version in (document.get("versions") or {}).items() if version],
        text=document.get("recipe") or "",
    )


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _words(value)) for name, value in values.items()]


def _words(value: Any) -> str:
    """A value for people: what is not a number or a word is shown as JSON, cut where it is long."""
    if isinstance(value, bool) or value is None:
        text = {True: "yes", False: "no", None: ABSENT}[value]
    elif isinstance(value, int):
        text = count_text(value)
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
