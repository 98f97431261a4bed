"""timm's AdamW over timm's parameter groups, and timm's clipping."""

from __future__ import annotations

import torch
from timm.optim import create_optimizer_v2
from timm.utils.clip_grad import dispatch_clip_grad
from torch import Tensor, nn
from torch.optim import Optimizer

from recipe import config


def create_optimizer(model: nn.Module, recipe: config.Optimizer, rate: float) -> Optimizer:
    """The optimizer that timm's factory makes.

    Where everything decays, timm gets the parameters and not the model, whose list of exempt names it would respect.

    Args:
        model: Its trainable parameters are updated.
        recipe: Decay and moments.
        rate: Learning rate at the end of the warm-up.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return create_optimizer_v2(
        parameters if recipe.decay_all else model,
        opt="adamw",
        lr=rate,
        weight_decay=recipe.weight_decay,
        eps=recipe.epsilon,
        betas=recipe.betas,
    )


def clip_gradients(model: nn.Module, recipe: config.Optimizer) -> None:
    """Scale the gradients down if their norm exceeds the limit, if there is one."""
    if recipe.clip is not None:
        dispatch_clip_grad(model.parameters(), recipe.clip, mode="norm")


@torch.no_grad()
def gradient_norm(model: nn.Module) -> Tensor:
    """Norm of all gradients together, shape `()`."""
    return torch.nn.utils.get_total_norm([tensor.grad for tensor in model.parameters() if tensor.grad is not None])
