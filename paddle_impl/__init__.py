"""The models in PaddlePaddle: the ports."""

from paddle_impl import compat as _compat

_compat.require_paddle()
_compat.unlock_mkl()
