"""Moves weights between layouts and file formats, with no framework imported.

    porting.convert("pit_b.pth", "pit_b.pdparams")
    porting.inspect("pit_b.pdparams").model
    porting.write_random(porting.build("pit_ti"), "pit_ti.pth")

What is listed in `__all__` is imported when it is first used, so that `import porting` costs nothing.
"""

from typing import TYPE_CHECKING

from porting.exporting import exporting, renamed

if TYPE_CHECKING:
    from porting.architectures import NAMES as MODELS
    from porting.architectures import Architecture, build
    from porting.conversion import ConvertReport, convert, write_random
    from porting.describe import Description
    from porting.describe import describe as inspect
    from porting.errors import PortingError
    from porting.surgery import Surgery

__all__ = [
    "MODELS",
    "Architecture",
    "ConvertReport",
    "Description",
    "PortingError",
    "Surgery",
    "build",
    "convert",
    "inspect",
    "write_random",
]

if not TYPE_CHECKING:  # a type-checker would take any name for one that such a module has
    __getattr__, __dir__ = exporting(
        __name__,
        {
            "MODELS": "porting.architectures:NAMES",
            "Architecture": "porting.architectures",
            "ConvertReport": "porting.conversion",
            "Description": "porting.describe",
            "PortingError": "porting.errors",
            "Surgery": "porting.surgery",
            "build": "porting.architectures",
            "convert": "porting.conversion",
            "inspect": "porting.describe:describe",
            "write_random": "porting.conversion",
        },
    )

renamed(
    {
        "porting.axes": "porting.operations",
        "porting.faults": "porting.checkpoint.file.bus_errors",
        "porting.ops": "porting.operations",
        "porting.ties": "porting.operations",
    }
)
