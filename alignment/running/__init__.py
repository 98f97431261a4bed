"""One run from end to end: prepared, carried out by the workers, compared."""

from typing import TYPE_CHECKING

from porting.exporting import exporting

if TYPE_CHECKING:
    from alignment.running.run import align, record

__all__ = ["align", "record"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = exporting(__name__, dict.fromkeys(__all__, "alignment.running.run"))
