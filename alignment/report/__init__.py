"""The result of an alignment, and how it is shown."""
