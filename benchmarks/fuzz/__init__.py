"""Damaged and hostile files for every reader: `python -m benchmarks.fuzz`, or `make fuzz`."""
