"""Training and evaluation batches, as NumPy arrays. Nothing here imports Paddle: worker processes start fast."""
