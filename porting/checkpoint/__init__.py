"""Checkpoint files, read and written tensor by tensor, with no framework and without executing anything in them."""

from typing import TYPE_CHECKING

from porting.exporting import exporting

if TYPE_CHECKING:
    from porting.checkpoint.format_names import FORMATS, SUFFIXES, Format, format_of
    from porting.checkpoint.reading import Checkpoint, open_checkpoint
    from porting.checkpoint.sharding import write_sharded
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
    "write_sharded",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = exporting(
        __name__,
        {
            **dict.fromkeys(("FORMATS", "SUFFIXES", "Format", "format_of"), "porting.checkpoint.format_names"),
            **dict.fromkeys(("Checkpoint", "open_checkpoint"), "porting.checkpoint.reading"),
            "LazyTensor": "porting.checkpoint.tensor",
            "write_sharded": "porting.checkpoint.sharding",
            **dict.fromkeys(("Written", "write_checkpoint"), "porting.checkpoint.writing"),
        },
    )
