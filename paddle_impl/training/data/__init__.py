"""Training and evaluation batches as NumPy arrays, made without Paddle, so that worker processes start fast."""
