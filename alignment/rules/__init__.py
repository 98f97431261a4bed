"""Which weight of the reference becomes which of the candidate, derived from the models."""
