"""The check points of training: which configuration, on which images, run by which processes."""
