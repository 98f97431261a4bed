"""The parts of a command line that all three tools share."""
