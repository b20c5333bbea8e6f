"""Every error of the codec says what happened and has an exit code of its own."""

import pytest

from delta import errors
from delta.errors import DeltaError, LimitExceeded, OutputMismatch, PatchVersionUnsupported, WrongBase

BUILT: dict[type[DeltaError], DeltaError] = {
    PatchVersionUnsupported: PatchVersionUnsupported(9, (1, 2)),
    WrongBase: WrongBase("sha256 aa", "sha256 bb"),
    LimitExceeded: LimitExceeded("spans", allowed=1, asked=2),
    OutputMismatch: OutputMismatch("aa", "bb"),
}
CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, DeltaError)]


@pytest.mark.parametrize("cls", CLASSES)
def test_each_class_prints_and_stands_in_the_tree(cls: type[DeltaError]) -> None:
    error = BUILT.get(cls) or cls("what happened")
    assert str(error)
    assert cls.title
    assert cls.__name__ in str(errors.__doc__)


def test_slugs_and_exit_codes_are_unique_and_clear_of_usage_errors() -> None:
    assert len({cls.slug for cls in CLASSES}) == len(CLASSES)
    codes = {cls.exit_code for cls in CLASSES}
    assert len(codes) == len(CLASSES)
    assert not codes & {0, 1, 2}
