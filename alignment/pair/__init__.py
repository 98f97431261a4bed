"""What two models are: how each is built, what goes in, which weights are the same; and the published pairs."""

from alignment.pair.feeds import Floats, Mask, Tokens
from alignment.pair.pair import AUTO, ROLES, Origin, Pair, Role, Side, load_pair, locate
from alignment.pair.training import Training

__all__ = [
    "AUTO",
    "ROLES",
    "Floats",
    "Mask",
    "Origin",
    "Pair",
    "Role",
    "Side",
    "Tokens",
    "Training",
    "load_pair",
    "locate",
]
