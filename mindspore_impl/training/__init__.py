"""Training of MindCV's models: the recipe of `recipe.config` carried out by MindCV's and MindSpore's own code."""
