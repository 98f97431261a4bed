"""The test of the toolkit itself: known faults must be found, correct pairs must not be accused."""
