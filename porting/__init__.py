"""Moves weights between layouts and file formats, with no framework imported."""
