"""The state of a training run beside its weights: AdamW's moments, steps and groups, carried between frameworks."""
