"""Exact float64 versions of a framework's own layers and functions that lose precision inside; see `using`."""
