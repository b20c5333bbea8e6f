"""Every error of the package prints as one line and ends a command with its own exit code."""

import inspect

import pytest

from compression import errors

CLASSES = [
    found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, errors.CompressionError)
]


@pytest.mark.parametrize("error", CLASSES)
def test_error_prints_its_message_and_stands_in_the_tree(error: type[errors.CompressionError]) -> None:
    assert str(error("fire2: what and why")) == "fire2: what and why"
    assert error.exit_code in (1, 2, 5)
    assert f"{error.__name__} " in (errors.__doc__ or "")
    assert error.__doc__
