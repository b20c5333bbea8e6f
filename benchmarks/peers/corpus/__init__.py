"""Assembles the corpus. Recipes run cheap ones first; each is one pair, and what is there already stays.

Everything but the wheels is made from seeds: the same machine makes the same bytes again, another one may differ in the
last bits of trained weights, which is why results are kept by digest.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.corpus import compressed, fine_tuned, large, quantised, released, rewritten, sparse
from benchmarks.peers.corpus.recipe import Recipe
from benchmarks.peers.folders import corpus_folder, workshop_folder
from benchmarks.peers.pairs import MANIFEST, Pair, write_pair

RECIPES: list[Recipe] = [
    recipe
    for module in (released, fine_tuned, quantised, rewritten, compressed, sparse, large)
    for recipe in module.RECIPES
]


def assemble(cache: Path, recipes: list[Recipe], *, again: bool = False) -> Iterator[Pair]:
    """Make what is missing of `recipes` (all of it `again`) and yield each pair as it is made."""
    corpus, workshop = corpus_folder(cache), workshop_folder(cache)
    for recipe in recipes:
        if again or not (corpus / recipe.pair_class / recipe.name / MANIFEST).exists():
            yield write_pair(corpus, recipe.pair_class, recipe.name, recipe.how, recipe.make(workshop))
