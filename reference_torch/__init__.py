"""The models in PyTorch: what the ports are measured against."""

from reference_torch import compat as _compat

_compat.prepare_timm()
