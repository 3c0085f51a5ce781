import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

import ocr_model
from ocr_model.training.sync_batch_norm import AllReduceBatchNorm2d, synchronize_batch_norm

# The second rank. The first is the test's own process.
_SECOND_RANK = """
import sys
from datetime import timedelta
import torch, torch.distributed as dist
from ocr_model.training.sync_batch_norm import synchronize_batch_norm
folder = sys.argv[1]
torch.set_num_threads(1)
method, patience = f"file://{folder}/store", timedelta(seconds=100)
dist.init_process_group("gloo", init_method=method, rank=1, world_size=2, timeout=patience)
model, images, output_gradient = torch.load(f"{folder}/input.pt", weights_only=False)
synchronize_batch_norm(model, torch.device("cpu"))
images = images[3:].requires_grad_()
outputs = model(images)
outputs.backward(output_gradient[3:])
parameters = {name: parameter.grad for name, parameter in model.named_parameters()}
torch.save((outputs.detach(), images.grad, parameters, model.state_dict()), f"{folder}/output.pt")
dist.barrier()
dist.destroy_process_group()
"""


@contextmanager
def two_ranks(folder: Path, script: str) -> Iterator[None]:
    """Make this process rank 0 beside a rank 1 that runs `script`."""
    root = str(Path(ocr_model.__file__).parents[1])
    second = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], env={**os.environ, "PYTHONPATH": root}
    )
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store",
            rank=0,
            world_size=2,
            timeout=timedelta(seconds=100),
        )
        yield
        dist.barrier()
        assert second.wait(timeout=60) == 0
    finally:
        second.kill()
        if dist.is_initialized():
            dist.destroy_process_group()


def build() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Sequential(nn.BatchNorm2d(6))
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.rand_like(parameter))
    return model


def compute(
    model: nn.Module, images: Tensor, output_gradient: Tensor
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    images = images.clone().requires_grad_()
    outputs = model(images)
    outputs.backward(output_gradient)
    assert images.grad is not None
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return outputs.detach(), images.grad, gradients


def test_two_ranks_normalise_as_one_does_with_all_of_the_batch(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, 3, 8, 9, generator=generator) * 3 + 7  # ranks get 3 and 2
    output_gradient = torch.randn(5, 6, 6, 7, generator=generator)
    torch.save((build(), images, output_gradient), tmp_path / "input.pt")
    whole = build()
    outputs, input_gradient, gradients = compute(whole, images, output_gradient)

    model = build()
    with two_ranks(tmp_path, _SECOND_RANK):
        synchronize_batch_norm(model, torch.device("cpu"))
        first = compute(model, images[:3], output_gradient[:3])
        assert sum(isinstance(m, AllReduceBatchNorm2d) for m in model.modules()) == 2
    second = torch.load(tmp_path / "output.pt", weights_only=True)

    assert torch.allclose(torch.cat([first[0], second[0]]), outputs, atol=1e-4)
    assert torch.allclose(torch.cat([first[1], second[1]]), input_gradient, atol=1e-4)
    assert first[2].keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(first[2][name] + second[2][name], gradient, atol=1e-3), name
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(model.state_dict()[name], tensor, atol=1e-4), name
        assert torch.equal(model.state_dict()[name], second[3][name]), name

    model.eval()
    whole.eval()
    assert torch.allclose(model(images), whole(images), atol=1e-4)  # without the other rank


def test_constant_channels_far_from_zero_stay_finite(tmp_path: Path) -> None:
    # Their variance, a difference of large numbers, must not become negative.
    images = torch.linspace(900, 1100, 64)[None, :, None, None].expand(5, 64, 7, 9)
    model = nn.Sequential(nn.BatchNorm2d(64))
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        synchronize_batch_norm(model, torch.device("cpu"))
        outputs, gradient, _ = compute(model, images, torch.ones(5, 64, 7, 9))
    finally:
        dist.destroy_process_group()
    assert torch.isfinite(outputs).all()
    assert torch.isfinite(gradient).all()
    assert (model.state_dict()["0.running_var"] >= 0).all()
