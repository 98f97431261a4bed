"""Training in Paddle: the recipe of DeiT, carried out on the models beside it."""
