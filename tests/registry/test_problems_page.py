"""`docs/problems.md` lists exactly the problems that the server can answer with."""

import re
from collections.abc import Iterator
from pathlib import Path

import fleet.errors
import registry.errors
from access.errors import ProblemError

PAGE = Path(__file__).parents[2] / "docs" / "problems.md"
ROW = re.compile(r"^\| `([a-z-]+)` \| (\d{3}) \|", re.MULTILINE)
SERVER = ("access.", "registry.", "fleet.")
IMPORTED_FOR_THEIR_CLASSES = (fleet.errors, registry.errors)


def _classes(base: type[ProblemError]) -> Iterator[type[ProblemError]]:
    yield base
    for child in base.__subclasses__():
        yield from _classes(child)


def test_page_and_error_classes_list_the_same_problems() -> None:
    listed = {(slug, int(status)) for slug, status in ROW.findall(PAGE.read_text())}
    classes = {cls for cls in _classes(ProblemError) if cls.__module__.startswith(SERVER)}
    assert listed == {(cls.slug, cls.status) for cls in classes}


def test_no_problem_is_listed_twice() -> None:
    slugs = [slug for slug, _ in ROW.findall(PAGE.read_text())]
    assert len(slugs) == len(set(slugs))


def test_tree_in_the_docstring_of_the_errors_module_names_every_class_with_its_status() -> None:
    tree = dict(re.findall(r"── (\w+) +(\d{3})", registry.errors.__doc__ or ""))
    classes = {cls.__name__: str(cls.status) for cls in _classes(ProblemError) if cls.__module__ == "registry.errors"}
    assert tree == classes
