"""Training of the models: the recipe of `recipe.config` carried out in Paddle."""
