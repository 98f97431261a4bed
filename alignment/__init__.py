"""Numerical alignment: two frameworks run the same model, and what they compute is recorded, compared and judged."""
