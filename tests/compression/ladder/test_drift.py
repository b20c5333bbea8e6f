"""Ten updates one after another, each from the rung that devices got before: errors do not pile up."""

import copy
from pathlib import Path

import numpy as np
import pytest

from compression.evaluation import predict_logits
from compression.ladder.choice import Promise
from compression.ladder.drift import follow
from compression.ladder.rungs import Bench
from compression.ladder.task import Task
from compression.ladder.trained import TrainedRungs
from tests.compression.ladder.conftest import Pair, export, train

UPDATES = 10
MAKER = TrainedRungs(rungs=1, iterations=60, last_iterations=60, lowest_rate=1e-5, highest_rate=1e-5)


@pytest.fixture(scope="module")
def versions(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What a publisher goes on to after v2: ten fine-tunes, each of the one before."""
    folder = tmp_path_factory.mktemp("versions")
    net = copy.deepcopy(pair.net)
    files = [folder / f"{number}.onnx" for number in range(UPDATES)]
    for number, file in enumerate(files):
        train(net, pair.training, rate=5e-4, iterations=15, seed=10 + number)
        export(net, file)
    return files


def test_errors_do_not_pile_up_over_ten_updates(pair: Pair, versions: list[Path], tmp_path: Path) -> None:
    images, labels = pair.held_out.images, pair.held_out.classes
    held, agreements = pair.new, []
    for number, version in enumerate(versions):
        folder = tmp_path / str(number)
        folder.mkdir()
        [rung] = MAKER.make(Task(held, version, pair.training, pair.held_out), Bench(folder))
        held = rung.path
        said, wanted = (predict_logits(path, images).argmax(axis=1) for path in (held, version))
        agreements.append(float((said == wanted).mean()))
    assert min(agreements) >= 0.97
    assert np.mean(agreements[-3:]) >= np.mean(agreements[:3]) - 0.01
    assert abs(float((said == labels).mean()) - float((wanted == labels).mean())) <= 0.01


def test_every_update_starts_from_the_file_that_devices_got(pair: Pair, versions: list[Path], tmp_path: Path) -> None:
    updates = list(
        follow(
            pair.new,
            versions[:2],
            pair.training.first(300),
            pair.held_out.first(100),
            maker=MAKER,
            bench=Bench(tmp_path),
            promise=Promise("any", 0.0, 1.0),
        )
    )
    assert [update.number for update in updates] == [1, 2]
    first, second = (update.made.rung.candidate.path for update in updates)
    task = Task(first, versions[1], pair.training.first(300), pair.held_out)
    (tmp_path / "again").mkdir()
    [again] = MAKER.make(task, Bench(tmp_path / "again"))
    assert again.path.read_bytes() == second.read_bytes()
    assert all(update.judged.agreement > 0.95 and update.delta_bytes < 8000 for update in updates)
