"""Pairs of models of which the truth is known, to measure the rules that `pit-align rules` derives.

    python -m benchmarks.rules --draws 500 --seed 0

A model is drawn from a seed and written twice: with other names, in another order, its weights fused, split,
transposed or interleaved otherwise. Which tensor becomes which is known by construction, and what the rules do is
compared with it.
"""
