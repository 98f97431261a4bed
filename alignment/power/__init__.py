"""How much a proof is worth: mistakes planted into the candidate itself, and judged as the proof judges it."""
