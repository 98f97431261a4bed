"""What a training run is, without a framework: its configuration, its images, and where its randomness comes from.

`paddle_impl.training` and `reference_torch.training` carry out the same recipe; they share this and nothing else.
"""
