"""Training and evaluation batches, as NumPy arrays; nothing here imports Paddle, so that worker processes start fast."""
