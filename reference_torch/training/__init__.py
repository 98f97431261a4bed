"""Training of the references: the recipe of `recipe.config` carried out by timm's own code."""
