"""What checkpoint formats are packed in: ZIP archives, pickles, protocol buffers and JSON."""
