"""One run from end to end: prepared, carried out by the workers, compared."""
