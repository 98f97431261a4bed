"""Small nets of four kinds in torch, and their ports in Paddle, as a porter writes them: with other names."""
