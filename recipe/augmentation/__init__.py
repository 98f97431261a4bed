"""Training and evaluation batches as NumPy arrays, made without a framework, so that worker processes start fast."""
