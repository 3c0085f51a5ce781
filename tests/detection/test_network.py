import pytest
import torch

from ocr_model.detection.network import STRIDE, CompactNetwork, CompactNetworkConfig

SMALL = CompactNetworkConfig(channels=(16, 16, 32, 32), num_blocks=(1, 1, 1, 1))


def _images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, (*shape, 3), generator=torch.Generator().manual_seed(0)).byte()


@pytest.fixture(scope="module")
def network() -> CompactNetwork:
    torch.manual_seed(0)
    return CompactNetwork(SMALL).eval()


@pytest.mark.parametrize("size", [(32, 32), (64, 160), (96, 64)])
def test_maps_have_half_of_the_resolution(network: CompactNetwork, size: tuple[int, int]) -> None:
    maps = network(_images(2, *size))
    assert maps.shape == (2, 2, size[0] // 2, size[1] // 2)


def test_the_default_has_at_most_three_million_parameters() -> None:
    network = CompactNetwork(CompactNetworkConfig())
    assert sum(parameter.numel() for parameter in network.parameters()) < 3_000_000


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = CompactNetwork(SMALL).train()
    network(_images(2, 64, 64)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_an_image_alone_gives_what_it_gives_in_a_batch(network: CompactNetwork) -> None:
    images = _images(4, 64, 96)
    with torch.inference_mode():
        together, alone = network(images), network(images[:1])
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


def test_evaluation_is_deterministic(network: CompactNetwork) -> None:
    images = _images(1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(images), network(images))


def test_the_backbone_is_part_of_the_network(network: CompactNetwork) -> None:
    encoder = {id(parameter) for parameter in network.encoder_parameters()}
    everything = {id(parameter) for parameter in network.parameters()}
    assert encoder < everything


def test_the_stride_is_what_the_layers_make(network: CompactNetwork) -> None:
    features = network.stem(torch.zeros(1, 3, STRIDE, STRIDE))
    for stage in network.stages:
        features = stage(features)
    assert features.shape[2:] == (1, 1)


@pytest.mark.parametrize(
    "settings", [{"channels": (8, 16, 32, 32)}, {"num_blocks": (0, 1, 1, 1)}, {"channels": (16,)}]
)
def test_a_wrong_size_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"channels|num_blocks"):
        CompactNetworkConfig.model_validate(settings)
