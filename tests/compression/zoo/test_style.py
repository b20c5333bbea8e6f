"""The perceptual loss is zero where it should be, moves the image net alone, and makes one that exports."""

from pathlib import Path

import pytest
import torch

from compression.errors import DataUnusable
from compression.onnx_export import export_onnx
from compression.zoo import NetShape
from compression.zoo.nets.squeezenet import squeezenet_features
from compression.zoo.nets.transformer import transformer
from compression.zoo.style import PerceptualLoss, StyleWeights, gram, train_style

SHAPE = NetShape(height=16, width=16, classes=1)
FIRES = (0, 1, 3)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(2017)


@pytest.fixture
def stripes() -> torch.Tensor:
    return (torch.arange(16) % 8 < 4).float().expand(1, 3, 16, 16).contiguous()


@pytest.fixture
def loss(stripes: torch.Tensor) -> PerceptualLoss:
    return PerceptualLoss(squeezenet_features(SHAPE, fires=FIRES), stripes)


def test_gram_matrix_forgets_where_and_keeps_what() -> None:
    maps = torch.randn(2, 5, 4, 6)
    shuffled = maps.flatten(2)[:, :, torch.randperm(24)].reshape(maps.shape)
    torch.testing.assert_close(gram(shuffled), gram(maps))
    assert torch.allclose(gram(maps), gram(maps).transpose(1, 2))
    assert (torch.linalg.eigvalsh(gram(maps)) > -1e-6).all()
    torch.testing.assert_close(gram(torch.ones(1, 2, 3, 3)), torch.full((1, 2, 2), 0.5))


def test_image_itself_has_its_content_and_the_style_image_its_style(
    loss: PerceptualLoss, stripes: torch.Tensor
) -> None:
    image = torch.rand(1, 3, 16, 16)
    assert loss(image, image).content == 0
    assert loss(stripes, image).style == pytest.approx(0, abs=1e-9)
    assert loss(image, image).style > 0
    assert loss(stripes, image).content > 0
    flat = torch.full_like(image, 0.5)
    assert loss(flat, image).variation == 0
    assert loss(image, image).variation > loss(stripes, image).variation > 0


def test_loss_trains_the_image_net_and_not_what_looks_at_it(loss: PerceptualLoss, tmp_path: Path) -> None:
    before = [weight.clone() for weight in loss.parameters()]
    net = transformer(SHAPE, width=0.1)
    losses = train_style(
        net, loss, torch.rand(12, 3, 16, 16), steps=16, learning_rate=5e-3, weights=StyleWeights(style=1e2)
    )
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])
    assert all(torch.equal(now, then) for now, then in zip(loss.parameters(), before, strict=True))
    example = torch.rand(2, 3, 16, 16).numpy()
    export_onnx(net, tmp_path / "net.onnx", example=example, input_name="image", output_name="stylised")


def test_same_seed_trains_the_same_net(loss: PerceptualLoss) -> None:
    images = torch.rand(6, 3, 16, 16)
    runs = []
    for _ in range(2):
        torch.manual_seed(1)
        runs.append(train_style(transformer(SHAPE, width=0.1), loss, images, steps=3, seed=4))
    assert runs[0] == runs[1]


def test_content_is_compared_in_a_map_that_there_is(stripes: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="3 feature maps, and the content is to be compared in number 3"):
        PerceptualLoss(squeezenet_features(SHAPE, fires=FIRES), stripes, content=3)


def test_fewer_images_than_a_batch_are_refused(loss: PerceptualLoss) -> None:
    with pytest.raises(DataUnusable, match="3 images are fewer than a batch of 4"):
        train_style(transformer(SHAPE, width=0.1), loss, torch.rand(3, 3, 16, 16), steps=1)
