"""The test of the toolkit itself: known faults must be detected, and nothing reported of correct pairs."""
