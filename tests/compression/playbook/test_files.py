"""The moves on files are the steps of recipes under the playbook's names, and make the file cheaper to send."""

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.static_cost import count_static_cost
from compression.datasets import load_samples
from compression.errors import RecipeInvalid
from compression.onnx_export import export_onnx
from compression.playbook.files import STEP_OF, coded_bytes, on_file
from compression.steps import STEPS, Workbench

SAMPLES = load_samples("digits").first(256)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(2017)
    path = tmp_path_factory.mktemp("files") / "net.onnx"
    net = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10)).eval()
    export_onnx(net, path, example=SAMPLES.images[:2], input_name="image", output_name="logits")
    return path


@pytest.fixture
def bench() -> Workbench:
    return Workbench(training=SAMPLES.first(192), held_out=SAMPLES.take(slice(192, 256)), seed=1)


def test_every_move_on_files_is_a_step() -> None:
    assert set(STEP_OF.values()) <= set(STEPS)


def test_pruned_and_shared_file_is_the_same_graph_and_costs_a_fraction_to_send(
    source: Path, bench: Workbench, tmp_path: Path
) -> None:
    pruned, shared = tmp_path / "pruned.onnx", tmp_path / "shared.onnx"
    facts = on_file("pruning", source, pruned, bench, sparsity=0.9, epochs=2)
    assert facts["weights_kept"] == pytest.approx(0.1 * facts["weights"], rel=0.02)
    on_file("weight sharing", pruned, shared, bench, epochs=0)
    before, after = count_static_cost(source), count_static_cost(shared)
    assert after.macs == before.macs
    assert coded_bytes(shared) < coded_bytes(pruned) < coded_bytes(source) < source.stat().st_size
    assert coded_bytes(shared) < 0.1 * coded_bytes(source)


def test_quantised_file_has_a_byte_a_weight(source: Path, bench: Workbench, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    on_file("quantisation", source, target, bench, calibration_samples=32)
    weights = 9 * 32 + 2048 * 10
    assert count_static_cost(target).param_bytes == pytest.approx(weights, rel=0.05)


def test_option_that_no_step_has_is_named(source: Path, bench: Workbench, tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match=r"pruning.*sparcity"):
        on_file("pruning", source, tmp_path / "x.onnx", bench, sparcity=0.9)
