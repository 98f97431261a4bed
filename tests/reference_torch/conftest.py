"""timm, importable by the tests before they import anything of ours."""

from reference_torch.compat import prepare_timm

prepare_timm()
