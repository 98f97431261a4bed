"""Files: mapped for reading, written beside their target, read back and renamed into place."""
