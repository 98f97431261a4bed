"""Training in PyTorch: the DeiT recipe straight from timm."""
