"""What a recipe says: steps from file to file, and which of their results become variants. Reading one needs no torch."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.options import TOLERANCES
from compression.datasets import HELD_OUT, SPLIT_SEED
from compression.errors import RecipeInvalid
from compression.provenance import SCHEMA
from compression.recipes.tables import (
    joined,
    parse_toml,
    read_table,
    ready_or_file,
    require_known,
    shown,
    suggestion,
    utf8_text,
)
from compression.steps import STEPS, Step, keys
from compression.steps.keys import number, text, whole

SOURCE = "source"
"""The name of the model that a recipe begins with."""
FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Split:
    """Which samples no step is given."""

    held_out: float = number(HELD_OUT, 0.01, 0.9, "share of the samples that variants are measured on")
    seed: int = whole(SPLIT_SEED, 0, 2**31 - 1, "which samples those are")


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step with its place in the recipe: it reads the file called `source`, and its result is called `name`."""

    name: str
    source: str
    do: str
    step: Step

    def options(self) -> dict[str, Any]:
        """Every key of the step with its value, as JSON has it."""
        return dataclasses.asdict(self.step)


@dataclass(frozen=True, slots=True)
class PlannedVariant:
    """A result that is measured and kept."""

    name: str = text("", "what the variant is called")
    of: str = text("", "the step whose result it is; the last step, if left out")
    max_accuracy_loss: float | None = number(
        None, 0, 1, "accuracy it may lose against the source, as a share (0.005 is half a point); any loss if left out"
    )
    tolerances: Mapping[str, float] = keys.table(
        "what a device may differ from the golden outputs, published with it: atol, rtol, min_agreement", 0
    )


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole recipe.

    Attributes:
        document: the TOML text it was read from.
    """

    summary: str
    seed: int
    split: Split
    steps: tuple[PlannedStep, ...]
    variants: tuple[PlannedVariant, ...]
    document: str

    def chain(self, name: str) -> tuple[PlannedStep, ...]:
        """The steps from the source to the result called `name`, in order."""
        by_name = {step.name: step for step in self.steps}
        chain: list[PlannedStep] = []
        while name != SOURCE:
            chain.insert(0, by_name[name])
            name = by_name[name].source
        return tuple(chain)

    def needed(self) -> tuple[PlannedStep, ...]:
        """The steps that some variant comes from, in order."""
        wanted = {step.name for variant in self.variants for step in self.chain(variant.of)}
        return tuple(step for step in self.steps if step.name in wanted)


@dataclass(frozen=True, slots=True)
class Head:
    """The keys of a recipe beside its tables."""

    schema: str = text("", f'always "{SCHEMA}"')
    summary: str = text("", "one line for people")
    seed: int = whole(2017, 0, 2**31 - 1, "of everything random in the steps")


@dataclass(frozen=True, slots=True)
class StepHead:
    """The keys that every step has beside its own."""

    do: str = text("", "which step")
    name: str = text("", "what its result is called; as the step, if left out")
    source: str = text("", f'the result it begins with; the step before, or "{SOURCE}" for the first, if left out')


def ready_recipes() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def load_recipe(name_or_file: str) -> Recipe:
    """A recipe of the package by name, or one in a file.

    Raises:
        RecipeInvalid: there is none, or it cannot be used; the message names file and key.
    """
    path = ready_or_file(name_or_file, ready_recipes(), "recipe")
    try:
        return parse_recipe(utf8_text(path))
    except RecipeInvalid as error:
        raise RecipeInvalid(f"{path.name}: {error}") from error


def parse_recipe(document: str) -> Recipe:
    """The recipe in a TOML text.

    Raises:
        RecipeInvalid: a key or value that does not exist or cannot be; the message names it with its path.
    """
    tables = parse_toml(document, "no TOML")
    _require_schema(tables)
    head_names = [field.name for field in dataclasses.fields(Head)]
    require_known(tables, [*head_names, "split", "step", "variant"], "")
    head = read_table(Head, {name: tables[name] for name in head_names if name in tables}, "")
    steps = _steps(_list_of(tables, "step"))
    return Recipe(
        summary=head.summary,
        seed=head.seed,
        split=read_table(Split, tables.get("split", {}), "split"),
        steps=steps,
        variants=_variants(_list_of(tables, "variant"), steps),
        document=document,
    )


def _require_schema(tables: Mapping[str, Any]) -> None:
    if "schema" not in tables:
        raise RecipeInvalid(f'schema: is missing, a recipe begins with schema = "{SCHEMA}"')
    if tables["schema"] != SCHEMA:
        raise RecipeInvalid(f'schema: expected "{SCHEMA}", got {shown(tables["schema"])}')


def _list_of(tables: Mapping[str, Any], name: str) -> list[Any]:
    found = tables.get(name)
    if not isinstance(found, list) or not found:
        raise RecipeInvalid(f"{name}: expected at least one table [[{name}]], got {shown(found or 'none')}")
    return found


def _steps(tables: list[Any]) -> tuple[PlannedStep, ...]:
    heads = {field.name for field in dataclasses.fields(StepHead)}
    planned: list[PlannedStep] = []
    for index, table in enumerate(tables):
        path = f"step[{index}]"
        if not isinstance(table, dict):
            raise RecipeInvalid(f"{path}: expected a table, got {shown(table)}")
        head = read_table(StepHead, {key: value for key, value in table.items() if key in heads}, path)
        if head.do not in STEPS:
            said = "is missing" if not head.do else f"no step {shown(head.do)}{suggestion(head.do, STEPS)}"
            raise RecipeInvalid(f"{path}.do: {said}")
        known = [SOURCE, *(step.name for step in planned)]
        name, source = head.name or head.do, head.source or known[-1]
        if name in known:
            raise RecipeInvalid(f'{path}.name: "{name}" is taken, give this result another name')
        if source not in known:
            raise RecipeInvalid(f"{path}.source: no result {shown(source)} before this step{suggestion(source, known)}")
        kind = STEPS[head.do]
        options = {key: value for key, value in table.items() if key not in heads}
        own = [field.name for field in dataclasses.fields(kind)]
        require_known(options, [*own, *sorted(heads)], path)
        planned.append(PlannedStep(name, source, head.do, read_table(kind, options, path)))
    return tuple(planned)


def _variants(tables: list[Any], steps: typing.Sequence[PlannedStep]) -> tuple[PlannedVariant, ...]:
    names = [step.name for step in steps]
    planned: list[PlannedVariant] = []
    for index, table in enumerate(tables):
        path = f"variant[{index}]"
        said = read_table(PlannedVariant, table, path)
        if not _is_plain_name(said.name):
            raise RecipeInvalid(
                f"{joined(path, 'name')}: expected small letters, digits and dashes, got {shown(said.name)}"
            )
        if said.name in [variant.name for variant in planned]:
            raise RecipeInvalid(f'{joined(path, "name")}: "{said.name}" is taken')
        of = said.of or names[-1]
        if of not in names:
            raise RecipeInvalid(f"{joined(path, 'of')}: no result {shown(of)}{suggestion(of, names)}")
        require_known(said.tolerances, TOLERANCES, joined(path, "tolerances"))
        planned.append(dataclasses.replace(said, of=of))
    return tuple(planned)


def _is_plain_name(name: str) -> bool:
    """Whether the registry takes it as a variant's name, and a file can be called so."""
    return name != "" and name.isascii() and all(sign.islower() or sign.isdigit() or sign in "-." for sign in name)
