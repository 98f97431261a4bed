"""The folder of a run in any framework: its lock, its states and log, and whether a run may go on from a state."""
