"""How each fault is put into a framework's layers, data and training loop."""
