"""What a rule can do to a tensor, each operation with its inverse and its shape arithmetic."""
