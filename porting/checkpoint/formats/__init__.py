"""One module for each checkpoint format."""
