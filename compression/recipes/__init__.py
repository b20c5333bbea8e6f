"""Recipes: TOML documents that say how variants are made from a model, read into frozen objects. Ready ones lie beside this file."""

from compression.recipes.recipe import (
    SOURCE,
    PlannedStep,
    PlannedVariant,
    Recipe,
    Split,
    load_recipe,
    parse_recipe,
    ready_recipes,
)

__all__ = [
    "SOURCE",
    "PlannedStep",
    "PlannedVariant",
    "Recipe",
    "Split",
    "load_recipe",
    "parse_recipe",
    "ready_recipes",
]
