"""What modules of torch keep of their weights from pass to pass, and make anew when their mode changes.

Such as a table of attention biases that is looked up once, or weights of adapters that are added to others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def renewed(model: Any, plain: type[Any]) -> Iterator[bool]:
    """Modules in evaluation mode that have a `train` of their own, in training mode; then in evaluation mode again.

    A module whose class has the framework's own `train` keeps its mode, and so do all modules within one.

    Args:
        model: The model; a module has `modules()`, `train(mode)` and `training`.
        plain: The framework's class of modules.

    Yields:
        Whether there are such modules.
    """
    modes = [(module, module.training) for module in model.modules()]
    own = [module for module, training in modes if type(module).train is not plain.train and not training]
    for module in own:
        module.train(True)
    for module, training in modes:
        module.training = training
    for module in own:
        module.training = True
    try:
        yield bool(own)
    finally:
        for module in own:
            module.train(False)
        for module, training in modes:
            module.training = training
