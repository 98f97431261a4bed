"""Reports held against thresholds, for CI."""
