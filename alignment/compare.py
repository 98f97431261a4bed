"""`import alignment.compare` gives the function of that name: importing a submodule sets the package's attribute."""

import sys

from alignment.comparison import compare_paths

sys.modules[__name__] = compare_paths  # type: ignore[assignment]  # what the import system binds, module or not
