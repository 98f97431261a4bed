"""The models in PaddlePaddle: the ports."""

import importlib.util

if importlib.util.find_spec("paddle") is None:
    raise ImportError('paddle_impl needs paddle, which is not installed: pip install "pit-port[paddle]"', name="paddle")
