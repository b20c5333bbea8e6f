"""The scene, made once by real programs; each test plays its attack on copies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.scene import Play, Scene, prepare


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Everything up to the theft."""
    return prepare(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def play(scene: Scene, tmp_path: Path) -> Iterator[Play]:
    """One attack; every process that it started is ended."""
    playing = Play(scene, tmp_path)
    with playing.children:
        yield playing
