"""Batch normalisation over all ranks, on any device.

torch's own SyncBatchNorm runs on GPUs only; this one is for CPU clusters, where the same run must
give the same result with one worker and with many.
"""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


class _SumOverRanks(torch.autograd.Function):
    """All-reduce with gradient; torch's own is deprecated since 2.15."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Float[Tensor, " values"]) -> Float[Tensor, " values"]:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Float[Tensor, " values"]) -> Float[Tensor, " values"]:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class AllReduceBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are those of the batches of all ranks."""

    def forward(
        self, input: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Normalise; in evaluation as BatchNorm2d."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        values = input.float()
        count = values.new_tensor([values.numel() / values.shape[1]])
        sums = torch.cat([values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), count])
        reduced = _SumOverRanks.apply(sums)
        total, total_squares, count = reduced.split([self.num_features, self.num_features, 1])
        mean = total / count
        variance = (total_squares / count - mean.square()).clamp(min=0)  # rounding may go below
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            unbiased = variance * count / (count - 1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        normalised: Tensor = values * scale[:, None, None] + shift[:, None, None]
        return normalised.to(input.dtype)


def synchronize_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """Replace every BatchNorm2d below `module`; parameters and buffers are shared, not copied."""
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return converted
    assert dist.is_initialized()
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                child.__class__ = AllReduceBatchNorm2d
                setattr(parent, name, child)
    return module
