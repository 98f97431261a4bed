"""MindCV's model of a run with its first weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn

from mindspore_impl.mindcv import create
from recipe.config import Config
from recipe.draws import Seeded
from recipe.weights import Start, open_weights

LAYOUT = "mindcv"
"""The layout of the models' parameters."""
Builder: TypeAlias = "Callable[[Config], nn.Cell]"
"""Makes the model of a configuration, freshly initialised and in training mode."""
_RATES = ("drop_rate", "attn_drop_rate", "drop_path_rate")


def create_model(config: Config) -> nn.Cell:
    """A model with initial weights from MindSpore's generator, in training mode."""
    model = config.model
    rates = {name: getattr(model, name) for name in _RATES} if model.name.startswith("pit") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MindCV's own classes use what MindSpore has newer names for
        net = create(
            model.name,
            image_size=(model.image_size, model.image_size),
            num_classes=model.num_classes,
            exact_gelu=config.mindspore.exact_gelu,
            reference_init=config.mindspore.reference_init,
            **rates,
        )
    return net.set_train()


def start(config: Config, builder: Builder = create_model) -> Start[nn.Cell]:
    """The model of a configuration, with the weights that it names.

    Initial weights are the same for the same seed. A checkpoint of another image size has its position embedding
    resized; of another class count, its head is left out and that of the model stays as it was drawn. The notes say
    both.

    Args:
        config: The configuration.
        builder: Makes the model; by default MindCV's.

    Raises:
        TrainingError: The checkpoint holds another model.
        CheckpointError: The checkpoint cannot be read, or holds no model.
        HubError: The checkpoint cannot be fetched.
    """
    word = Seeded(config.run.seed).word("initial")
    mindspore.set_seed(word)
    np.random.seed(word)
    model = builder(config)
    own = parameters(model)
    if config.model.weights is None:
        return Start(model, fresh=tuple(own))
    with open_weights(config.model.weights, config.model, LAYOUT) as weights:
        load_arrays(own, {name: tensor.load() for name, tensor in weights.tensors.items()})
        return Start(model, weights.notes, weights.fresh)


def parameters(model: nn.Cell) -> dict[str, Parameter]:
    """The parameters of a model by name, running statistics included."""
    return {parameter.name: parameter for parameter in model.get_parameters()}


def load_arrays(own: Mapping[str, Parameter], arrays: Mapping[str, Any]) -> None:
    """Give parameters the values of arrays of the same names.

    Raises:
        KeyError: There is no parameter of a name.
        ValueError: A shape is another one.
    """
    for name, array in arrays.items():
        if tuple(own[name].shape) != tuple(array.shape):
            raise ValueError(f"{name} has shape {tuple(array.shape)}, expected {tuple(own[name].shape)}")
        own[name].set_data(Tensor(np.ascontiguousarray(array), own[name].dtype))
