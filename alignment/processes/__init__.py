"""Worker processes: how they are started, what they run in, and what an environment lacks."""
