"""What a rule can do to tensors; `porting.ops` is this package under its earlier name."""

from porting.operations.axes import Interleave, Permute, Reshape, Squeeze, Transpose, Unsqueeze, between
from porting.operations.base import Op, ShapeMismatchError, ValueMismatchError
from porting.operations.biases import FoldBias, ZeroBias
from porting.operations.chains import Chain, Each, chained
from porting.operations.grammar import GrammarError, parse, text
from porting.operations.one_sided import Build, Drop, Fill, Keep
from porting.operations.own import UntrustedOperationError
from porting.operations.parts import Concat, Reorder, Split, Stack, Unstack
from porting.operations.scaling import Scale
from porting.operations.ties import Tie, Untie

__all__ = [
    "Build",
    "Chain",
    "Concat",
    "Drop",
    "Each",
    "Fill",
    "FoldBias",
    "GrammarError",
    "Interleave",
    "Keep",
    "Op",
    "Permute",
    "Reorder",
    "Reshape",
    "Scale",
    "ShapeMismatchError",
    "Split",
    "Squeeze",
    "Stack",
    "Tie",
    "Transpose",
    "Unsqueeze",
    "Unstack",
    "Untie",
    "UntrustedOperationError",
    "ValueMismatchError",
    "ZeroBias",
    "between",
    "chained",
    "parse",
    "text",
]
