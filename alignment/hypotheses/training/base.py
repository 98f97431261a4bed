"""What a hypothesis about a check point of training is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from alignment.arrays import Array
from alignment.hypotheses.base import Prediction
from alignment.results.findings import Finding
from recipe.config import Config

GROUPS = "the parameter groups: by which names, of which objects, they are told apart"
FILTER = (
    f"{GROUPS}. Everything decays, as where a filter is on the wrong names: Paddle's apply_decay_param_fun is given "
    "parameter.name, such as linear_0.b_0, and not the name in the state dict; compare with the names of "
    "model.named_parameters(), or give groups of parameters"
)


@dataclass(frozen=True, slots=True)
class Change:
    """What the reference does otherwise when it runs once more.

    Attributes:
        settings: `section.setting=value` each, over its configuration.
        mistake: A mistake that its backend knows how to make, see `alignment.backends.trainers.torch_mistakes`.
        updates: Updates to do, where the check point does some.
    """

    settings: tuple[str, ...] = ()
    mistake: str = ""
    updates: int | None = None


Rerun: TypeAlias = Callable[[Change], Mapping[str, Array]]
"""What the reference records with a change, by key; empty where it cannot make it."""


@dataclass(frozen=True, slots=True)
class RecipeCase:
    """All that is known of one finding of a check point of training.

    Attributes:
        finding: What differs.
        keys: The quantities that differ, of which a prediction has to be, in this order.
        kin: Others that would differ for the same reasons, and agree: what explains the one may not change the other.
        diverging: All quantities of the check point that diverge, those that follow from `keys` included.
        expected: All that the reference recorded of the check point, by key.
        found: All that the candidate did.
        config: The configuration that both were given.
        rerun: Lets the reference run once more, as far as the keys need.
        weights: What training starts from, by canonical name.
        buffers: The names among these that are not trained.
        gradients: Those that the optimizer is given at a step, by canonical name.
    """

    finding: Finding
    keys: tuple[str, ...]
    expected: Mapping[str, Array]
    found: Mapping[str, Array]
    config: Config
    rerun: Rerun
    weights: Mapping[str, Array] = field(default_factory=dict)
    buffers: frozenset[str] = frozenset()
    gradients: Callable[[int], Mapping[str, Array]] = lambda step: {}
    kin: tuple[str, ...] = ()
    diverging: frozenset[str] = frozenset()

    @property
    def has(self) -> str:
        """The part of the path after the step."""
        return self.finding.path.partition("/")[2]


RecipeHypotheses: TypeAlias = Callable[[RecipeCase], Iterator[Prediction]]
"""Some hypotheses about one check point: yields a prediction for each that applies to the case."""


def rerun(case: RecipeCase, name: str, says: str, look_at: str, change: Change) -> Iterator[Prediction]:
    """Yield the prediction that the reference makes with a change; none if it records other quantities then.

    It is of what differs and of what agrees: a flip of 0.1 for 0.5 is none of 0.4, though it turns the same images.
    """
    recorded = case.rerun(change)
    if all(key in recorded for key in case.keys):
        yield of_all(case, name, says, look_at, recorded, [*case.keys, *(key for key in case.kin if key in recorded)])


def mistaken(name: str, mistake: str, look_at: str, says: str) -> RecipeHypotheses:
    """Return the hypothesis of a mistake that is no setting, and that the reference's backend can make."""
    return lambda case: rerun(case, name, says, look_at, Change(mistake=mistake))


def of_all(
    case: RecipeCase, name: str, says: str, look_at: str, predicted: Mapping[str, Array], keys: Iterable[str]
) -> Prediction:
    """Return a prediction of quantities of which some may agree on both sides."""
    keys = tuple(keys)
    before, actual = ([side[key] for key in keys] for side in (case.expected, case.found))
    return Prediction(name, says, look_at, [predicted[key] for key in keys], before, actual, keys)


@dataclass(frozen=True, slots=True)
class Setting:
    """A mistake that amounts to another setting of the recipe.

    Attributes:
        name: Short name of the mistake.
        setting: `section.setting`.
        values: As they are written behind the equals sign, those to try.
        look_at: Where the candidate is likely to go wrong.
        says: What is wrong; `{}` stands for the value.
    """

    name: str
    setting: str
    values: tuple[str, ...]
    look_at: str
    says: str = ""

    def __call__(self, case: RecipeCase) -> Iterator[Prediction]:
        """Yield a prediction for each value."""
        for value in self.values:
            change = Change((f"{self.setting}={value}",))
            says = (self.says or f"it is as if {self.setting} were {{}}").format(value)
            yield from rerun(case, self.name, says, self.look_at, change)
