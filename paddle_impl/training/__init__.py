"""Training in Paddle."""
