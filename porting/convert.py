"""`import porting.convert` gives the function of that name: importing a submodule sets the package's attribute."""

import sys

from porting.conversion import convert

sys.modules[__name__] = convert  # type: ignore[assignment]  # what the import system binds, module or not
