"""The model of a run with its first weights, and the teacher with its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from recipe.config import Config, Model
from recipe.draws import Seeded
from recipe.weights import Start, Weights, open_teacher, open_weights, teacher_of
from reference_torch import deit, pit, regnet

LAYOUT = "canonical"
"""The layout of the models' state dicts."""


def create_model(config: Model) -> nn.Module:
    """A model with initial weights from the framework's generator, in training mode.

    Raises:
        ValueError: There is no such model, or the image size does not fit it.
    """
    names = ("image_size", "num_classes", "drop_rate", "drop_path_rate")
    options: dict[str, Any] = {name: getattr(config, name) for name in names}
    if config.name in regnet.CONFIGS:
        return regnet.create(config.name, **options)
    family = deit if config.name in deit.CONFIGS else pit
    return family.create(config.name, attn_drop_rate=config.attn_drop_rate, **options)


def start(config: Config) -> Start[nn.Module]:
    """The model of a configuration, with the weights that it names, in the precision that it names.

    Initial weights are the same for the same seed, whatever was drawn before. A checkpoint of another image size has
    its position embedding resized; of another class count, its heads are left out and those of the model stay as they
    were drawn. The notes say both.

    Raises:
        TrainingError: The checkpoint holds another model.
        CheckpointError: The checkpoint cannot be read, or holds no model.
        HubError: The checkpoint cannot be fetched.
    """
    torch.manual_seed(Seeded(config.run.seed).word("initial"))
    model = _to_precision(create_model(config.model), config)
    if config.model.weights is None:
        return Start(model, fresh=tuple(model.state_dict()))
    with open_weights(config.model.weights, config.model, LAYOUT) as weights:
        _load(model, weights)
        return Start(model, weights.notes, weights.fresh)


def load_teacher(config: Config) -> nn.Module | None:
    """The teacher of a configuration, in evaluation mode and without gradients; None without distillation.

    Raises:
        TrainingError: Its checkpoint is not named, holds another model, or has other classes than the model.
        CheckpointError: Its checkpoint cannot be read, or holds no model.
        HubError: Its checkpoint cannot be fetched.
    """
    if config.distillation.kind == "none":
        return None
    teacher = _to_precision(create_model(teacher_of(config)), config)
    with open_teacher(config, LAYOUT) as weights:
        _load(teacher, weights)
    return teacher.eval().requires_grad_(False)


@torch.no_grad()
def _load(model: nn.Module, weights: Weights) -> None:
    own = model.state_dict()
    for name, tensor in weights.tensors.items():
        own[name].copy_(torch.from_numpy(np.array(tensor.load(), own[name].numpy().dtype)))


def _to_precision(model: nn.Module, config: Config) -> nn.Module:
    """The model in float64 if the configuration says so; mixed precisions keep their parameters in float32."""
    return model.double() if config.run.precision == "float64" else model
