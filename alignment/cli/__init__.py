"""The commands of `pit-align` and their options; no logic."""
