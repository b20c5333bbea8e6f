"""A recipe is read into frozen objects, and what is wrong with one is said with the path of its key."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compression.errors import RecipeInvalid
from compression.recipes import load_recipe, parse_recipe, ready_recipes
from compression.steps import STEPS
from compression.steps.keys import key_of

HEAD = 'schema = "smallfleet-recipe/1"\n'
STEP = '[[step]]\ndo = "static_int8"\n'
VARIANT = '[[variant]]\nname = "int8"\n'


def test_steps_follow_each_other_unless_said_otherwise() -> None:
    recipe = parse_recipe(
        HEAD
        + '[[step]]\ndo = "fp16"\n[[step]]\ndo = "int4"\nsource = "source"\n[[step]]\ndo = "dynamic_int8"\nsource = "source"\nname = "eight"\n'
        + '[[variant]]\nname = "half"\nof = "fp16"\n[[variant]]\nname = "eight"\n'
    )
    assert [(step.name, step.source) for step in recipe.steps] == [
        ("fp16", "source"),
        ("int4", "source"),
        ("eight", "source"),
    ]
    assert [step.name for step in recipe.chain("eight")] == ["eight"]
    assert [variant.of for variant in recipe.variants] == ["fp16", "eight"]
    # Nobody asks for int4's result, so nobody waits for it.
    assert [step.name for step in recipe.needed()] == ["fp16", "eight"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", 'schema: is missing, a recipe begins with schema = "smallfleet-recipe/1"'),
        ('schema = "smallfleet-recipe/2"', 'schema: expected "smallfleet-recipe/1", got "smallfleet-recipe/2"'),
        ("schema = ", "no TOML: Invalid value (at end of document)"),
        (HEAD + "sed = 3\n" + STEP + VARIANT, "sed: unknown key, did you mean 'seed'?"),
        (HEAD + "seed = 1.5\n" + STEP + VARIANT, "seed: expected a whole number, got 1.5"),
        (HEAD + "seed = true\n" + STEP + VARIANT, "seed: expected a whole number, got true"),
        (HEAD + "seed = -1\n" + STEP + VARIANT, "seed: expected 0 to 2.14748e+09, got -1"),
        (HEAD + "split = 3\n" + STEP + VARIANT, "split: expected a table, got 3"),
        (HEAD + "[split]\nheld_out = 0\n" + STEP + VARIANT, "split.held_out: expected 0.01 to 0.9, got 0"),
        (HEAD + "[split]\nhold_out = 0.2\n" + STEP + VARIANT, "split.hold_out: unknown key, did you mean 'held_out'?"),
        (HEAD + VARIANT, 'step: expected at least one table [[step]], got "none"'),
        (HEAD + STEP, 'variant: expected at least one table [[variant]], got "none"'),
        (HEAD + "[step]\ndo = 3\n" + VARIANT, "step: expected at least one table [[step]], got {'do': 3}"),
        (HEAD + "[[step]]\n" + VARIANT, "step[0].do: is missing"),
        (HEAD + '[[step]]\ndo = "statik_int8"\n', "step[0].do: no step \"statik_int8\", did you mean 'static_int8'?"),
        (HEAD + STEP + '[[step]]\ndo = "int4"\nblok = 4\n', "step[1].blok: unknown key, did you mean 'block'?"),
        (HEAD + '[[step]]\ndo = "int4"\nblock = 8\n', "step[0].block: expected 16 to 1024, got 8"),
        (HEAD + '[[step]]\ndo = "int4"\nblock = 48\n', "step[0].block: expected a power of two, got 48"),
        (HEAD + STEP + 'method = "minmix"\n', 'step[0].method: expected minmax, percentile, entropy, got "minmix"'),
        (HEAD + STEP + "method = 3\n", "step[0].method: expected a text, got 3"),
        (HEAD + STEP + 'exclude = "conv"\n', 'step[0].exclude: expected a list, each a text, got "conv"'),
        (HEAD + STEP + 'exclude = ["conv", 3]\n', "step[0].exclude[1]: expected a text, got 3"),
        (HEAD + STEP + "percentile = nan\n", "step[0].percentile: expected 50 to 100, got nan"),
        (
            HEAD + '[[step]]\ndo = "delta_aware_int8"\nrates = [1e-6, 1e-7]\n',
            "step[0].rates: expected at least one number",
        ),
        (HEAD + STEP + STEP, 'step[1].name: "static_int8" is taken, give this result another name'),
        (HEAD + STEP + 'source = "prune"\n', 'step[0].source: no result "prune" before this step; known: source'),
        (HEAD + STEP + '[[variant]]\nname = "In T8"\n', "variant[0].name: expected small letters, digits and dashes"),
        (HEAD + STEP + "[[variant]]\n", 'variant[0].name: expected small letters, digits and dashes, got ""'),
        (HEAD + STEP + VARIANT + VARIANT, 'variant[1].name: "int8" is taken'),
        (HEAD + STEP + VARIANT + 'of = "int4"\n', 'variant[0].of: no result "int4"'),
        (HEAD + STEP + VARIANT + "max_accuracy_loss = 2\n", "variant[0].max_accuracy_loss: expected 0 to 1, got 2"),
        (
            HEAD + STEP + VARIANT + "tolerances = {atoll = 1}\n",
            "variant[0].tolerances.atoll: unknown key, did you mean 'atol'?",
        ),
        (
            HEAD + STEP + VARIANT + "tolerances = {atol = -1}\n",
            "variant[0].tolerances.atol: expected at least 0, got -1",
        ),
    ],
)
def test_wrong_recipe_names_the_path_of_its_key(document: str, said: str) -> None:
    with pytest.raises(RecipeInvalid) as refused:
        parse_recipe(document)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_a_recipe_or_an_error_of_ours(document: str) -> None:
    with pytest.raises(RecipeInvalid):
        parse_recipe(HEAD + document)


def test_unknown_recipe_names_the_one_that_was_meant() -> None:
    with pytest.raises(RecipeInvalid, match=r"int9: neither a file nor a ready recipe, did you mean 'int8'\?"):
        load_recipe("int9")


@pytest.mark.parametrize("name", ready_recipes())
def test_ready_recipe_can_be_read_and_says_what_it_makes(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.summary
    assert recipe.variants
    assert all(variant.max_accuracy_loss is not None for variant in recipe.variants)


@pytest.mark.parametrize("name", STEPS)
def test_every_key_of_a_step_has_a_default_and_says_what_it_means(name: str) -> None:
    assert STEPS[name].__doc__
    STEPS[name]()
    for field in dataclasses.fields(STEPS[name]):
        assert key_of(field).meaning, f"{name}.{field.name}"
        if field.default is not dataclasses.MISSING and field.default is not None:
            assert key_of(field).allows(field.default)


def test_reading_recipes_and_listing_steps_need_no_torch() -> None:
    code = (
        "import sys; from compression.recipes import load_recipe, ready_recipes; [load_recipe(n) for n in ready_recipes()];"
        "sys.exit(bool({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
