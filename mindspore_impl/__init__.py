"""MindCV's models, made for any image size and class count, and their training in MindSpore.

MindSpore 2.10 needs NumPy 1, so that it has an environment of its own, in which neither torch nor Paddle is installed.
"""
