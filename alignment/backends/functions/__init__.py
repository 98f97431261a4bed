"""Calls of a framework's own functions while a module runs: seen, and answered otherwise for a trial."""
