"""What two models are: how each is built, what goes in, which weights are the same; and the published pairs."""

from alignment.pair.pair import AUTO, ROLES, Origin, Pair, Role, Side, load_pair, locate

__all__ = ["AUTO", "ROLES", "Origin", "Pair", "Role", "Side", "load_pair", "locate"]
