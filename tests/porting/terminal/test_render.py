"""What `pit-port` prints of a conversion."""

from __future__ import annotations

import pytest

from porting.terminal.render import _transposed


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["blocks.0.attn.qkv.weight", "blocks.1.attn.qkv.weight", "head.weight"], "3 Linear weights (attn.qkv, head)"),
        (["blocks.0.ff.0.weight", "blocks.0.ff.1.weight"], "2 Linear weights (ff)"),
        (["experts.0.1.weight", "experts.1.1.weight", "experts.1.2.weight"], "3 Linear weights"),
        (["0.weight", "1.weight"], "2 Linear weights"),
        (["a..weight", ".weight", "weight"], "3 Linear weights (a, weight)"),
        ([], ""),
    ],
)
def test_transposed_weights_are_named_without_their_indices(names: list[str], told: str) -> None:
    assert _transposed(tuple(names)) == told
