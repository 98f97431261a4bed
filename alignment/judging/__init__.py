"""Measurements in, verdicts out."""
