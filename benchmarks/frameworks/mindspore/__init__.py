"""The survey's side of MindSpore: texts for the cases, and the process that runs them in an interpreter of its own."""
