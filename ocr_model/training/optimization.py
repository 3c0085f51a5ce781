"""The optimiser, its parameter groups, what does not change, and the average that is kept."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ocr_model.models.interface import TrainableModel
from ocr_model.training.config import OptimizerConfig


def build_optimizer(model: TrainableModel, config: OptimizerConfig) -> torch.optim.AdamW:
    """Group parameters by decay and by encoder; each group remembers its `peak_rate`."""
    encoder = {id(parameter) for parameter in model.encoder_parameters()}
    undecayed = {
        id(parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(module, nn.Embedding) or parameter.ndim < 2 or "bias" in name
    }
    groups = []
    for is_encoder in (False, True):
        for is_decayed in (False, True):
            members = [
                parameter
                for parameter in model.parameters()
                if (id(parameter) in encoder) == is_encoder
                and (id(parameter) not in undecayed) == is_decayed
            ]
            factor = config.encoder_learning_rate_factor if is_encoder else 1.0
            groups.append(
                {
                    "params": members,
                    "weight_decay": config.weight_decay if is_decayed else 0.0,
                    "peak_rate": config.learning_rate * factor,
                }
            )
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
    )


def set_encoder_frozen(model: TrainableModel, is_frozen: bool) -> None:
    """Stop or allow changes of the backbone; call after `model.train()`."""
    encoder = {id(parameter) for parameter in model.encoder_parameters()}
    for parameter in model.encoder_parameters():
        parameter.requires_grad_(not is_frozen)
    for norm in _batch_norms(model):
        if any(id(p) in encoder for p in norm.parameters()):
            norm.train(not is_frozen)


def freeze_batch_norm(model: nn.Module) -> None:
    """Normalise by what was learnt before; call after `model.train()`."""
    for norm in _batch_norms(model):
        norm.eval()


def build_average(model: TrainableModel, decay: float) -> AveragedModel | None:
    """Return a moving average of weights and buffers, or None where there is none to be kept."""
    if not decay:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _batch_norms(model: nn.Module) -> Iterator[nn.Module]:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            yield module
