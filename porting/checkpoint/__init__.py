"""Checkpoint files, read and written tensor by tensor, with no framework and without executing anything in them."""

from porting.checkpoint.formats import FORMATS, SUFFIXES, Format, format_of
from porting.checkpoint.reading import Checkpoint, open_checkpoint
from porting.checkpoint.tensor import LazyTensor
from porting.checkpoint.writing import Written, write_checkpoint

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Checkpoint",
    "Format",
    "LazyTensor",
    "Written",
    "format_of",
    "open_checkpoint",
    "write_checkpoint",
]
