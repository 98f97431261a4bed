"""Where a candidate begins to differ: modules matched, tapped, and run alone."""
