"""Operations of the user's own: tried before they are trusted, saved by name, imported only where that is allowed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.architectures.base import TensorSpec
from porting.checkpoint.tensor import Array, LazyTensor, Shape
from porting.errors import PlanError
from porting.operations import Each, Op, Tie, Transpose, UntrustedOperationError, chained, parse, text
from porting.operations.own import load, prove, require_savable
from porting.plan import plan
from porting.rules import invert, rule

_CODE = """
from dataclasses import dataclass
import numpy as np
from porting.operations import Op

@dataclass(frozen=True)
class Flip(Op):
    axes: tuple[int, ...] = (0,)

    @property
    def inverse(self):
        return self

    def shapes(self, shape):
        return (shape,)

    def apply(self, array):
        return (np.flip(array, self.axes),)

class NoOperation:
    pass
"""


@dataclass(frozen=True)
class Scale(Op):
    """Multiplies by a number; exact for powers of two only."""

    factor: float

    @property
    def inverse(self) -> Op:
        return Scale(1 / self.factor)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        return shapes

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        with np.errstate(over="ignore"):
            return ((arrays[0] * np.float32(self.factor)).astype(arrays[0].dtype),)


class WrongShape(Scale):
    """Says another shape than it gives."""

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        return ((*shapes[0], 1),)


class NoInverse(Scale):
    """Cannot be taken back."""

    @property
    def inverse(self) -> Any:
        return None


class InPlace(Scale):
    """Changes what it is given."""

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        arrays[0][...] *= 2
        return (arrays[0] * np.float32(1),)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "flips_of_a_test.py").write_text(_CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "flips_of_a_test", raising=False)
    return "flips_of_a_test"


def test_exact_operation_passes_and_is_used_in_a_plan() -> None:
    prove(Scale(2.0), ((3, 4),))
    rules = [rule("a", "b", [Transpose(), Scale(4.0)])]
    sources = {"a": TensorSpec((3, 2))}
    there = plan(rules, sources)
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    middle = there.apply({"a": LazyTensor.of(array)})
    np.testing.assert_array_equal(middle["b"].load(), array.T * 4)
    back = plan(invert(rules), there.specs, sources).apply(middle)
    np.testing.assert_array_equal(back["a"].load(), array)


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (Scale(3.0), "its inverse does not give back the same values, bit for bit; tried on (3, 4)"),
        (WrongShape(2.0), "gives (3, 4), and says (3, 4, 1); tried on (3, 4)"),
        (NoInverse(2.0), "has no inverse; tried on (3, 4)"),
        (InPlace(2.0), "changes what it is given"),
        (Scale(0.0), "ZeroDivisionError"),
    ],
)
def test_operation_that_is_not_exact_is_refused_with_its_shapes(op: Op, message: str) -> None:
    with pytest.raises(UntrustedOperationError) as caught:
        prove(op, ((3, 4),))
    assert message in str(caught.value)
    assert type(op).__name__ in str(caught.value)


def test_plan_lists_every_operation_that_is_not_exact_once_for_its_shapes() -> None:
    ops: list[Op] = [Scale(3.0), Tie(2, Scale(5.0))]
    rules = [
        rule("a", "b", ops[0]),
        rule("c", ("d", "e"), ops[1]),
        rule(("f", "g"), ("h", "i"), Each((None, Scale(7.0)))),
    ]
    with pytest.raises(PlanError) as caught:
        plan(rules, {name: TensorSpec((2, 2)) for name in "acfg"})
    assert [line.partition(": own")[0] for line in caught.value.details] == [
        "not exact: a",
        "not exact: c",
        "not exact: f, g",
    ]


def test_values_that_the_operation_does_not_give_back_are_refused_when_they_are_ported() -> None:
    there = plan([rule("a", "b", Scale(2.0**100))], {"a": TensorSpec((1,))})
    with pytest.raises(PlanError, match=r"b own .*does not give back the same values"):
        there.apply({"a": LazyTensor.of(np.full(1, 1e30, np.float32))})["b"].load()


def test_saved_operation_comes_back_where_its_module_is_allowed(module: str) -> None:
    flip = load(f"{module}:Flip", {"axes": (0, 1)}, [module])
    op = chained([flip, Transpose()])
    assert op is not None
    assert text(op) == f'own {module}:Flip {{"axes": [0, 1]}} then transpose'
    require_savable(flip)
    assert parse(text(op), lambda name, arguments: load(name, arguments, [module])) == op


@pytest.mark.parametrize(
    ("name", "arguments", "allowed", "message"),
    [
        ("flips_of_a_test:Flip", {}, [], "look at the module, then give --allow-code flips_of_a_test"),
        ("flips_of_a_test:Flip", {}, ["other"], "only if you allow it"),
        ("flips_of_a_test:Flip", {"axis": 1}, ["flips_of_a_test"], "cannot be built: TypeError"),
        ("flips_of_a_test:NoOperation", {}, ["flips_of_a_test"], "is no class that derives from"),
        ("flips_of_a_test:Missing", {}, ["flips_of_a_test"], "is no class that derives from"),
        ("os:system", {"command": "true"}, ["os"], "is no class that derives from"),
        ("not_there_at_all:Flip", {}, ["not_there_at_all"], "cannot be built: ModuleNotFoundError"),
    ],
)
def test_operation_that_is_not_allowed_or_no_operation_is_not_built(
    module: str, name: str, arguments: dict[str, Any], allowed: list[str], message: str
) -> None:
    with pytest.raises(UntrustedOperationError, match=message):
        load(name, arguments, allowed)
    if module not in allowed:
        assert module not in sys.modules


def test_operation_that_no_file_can_name_is_refused() -> None:
    @dataclass(frozen=True)
    class Local(Scale):
        pass

    with pytest.raises(ValueError, match="at the top level of a module"):
        require_savable(Local(2.0))
    with pytest.raises(ValueError, match="a field has no form in JSON"):
        require_savable(Scale(float("inf")))
