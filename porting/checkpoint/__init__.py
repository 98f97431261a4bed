"""Checkpoint files, read and written tensor by tensor, with no framework and without executing anything in them."""

from porting.checkpoint.formats import FORMATS, SUFFIXES, Format, format_of
from porting.checkpoint.reading import Checkpoint, open_checkpoint
from porting.checkpoint.tensor import LazyTensor

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Checkpoint",
    "Format",
    "LazyTensor",
    "format_of",
    "open_checkpoint",
]
