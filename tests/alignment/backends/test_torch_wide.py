"""What torch has in float32 only gives the same in float64, and has gradients there."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from alignment.backends.stand_ins.torch_wide import grouped_mm, install

OFFSETS = torch.tensor([3, 3, 8], dtype=torch.int32)
CASES = {
    "rows": ((8, 16), (3, 16, 32), OFFSETS),
    "inner": ((16, 8), (8, 32), OFFSETS * 16),
    "columns": ((3, 8, 16), (16, 64), OFFSETS * 8),
    "groups": ((3, 8, 16), (3, 16, 32), None),
}


@pytest.mark.parametrize("name", ["rows", "groups"])
def test_products_of_groups_are_those_of_torch(name: str) -> None:
    first, second, offsets = CASES[name]
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(*shape, generator=generator) for shape in (first, second))
    own = torch.nn.functional.grouped_mm(a, b, offs=offsets)
    torch.testing.assert_close(grouped_mm(a, b, offs=offsets), own)


@pytest.mark.parametrize(("name", "shape"), [("inner", (3, 16, 32)), ("columns", (8, 64))])
def test_groups_along_other_axes(name: str, shape: tuple[int, ...]) -> None:
    first, second, _ = CASES[name]
    offsets = torch.tensor([2, 2, 8] if name == "inner" else [16, 16, 64], dtype=torch.int32)
    a, b = torch.randn(*first), torch.randn(*second)
    made = grouped_mm(a, b, offs=offsets)
    assert made.shape == shape
    middle = made[1] if name == "inner" else made[:, 16:16]
    assert not middle.any()
    last = a[:, 2:] @ b[2:] if name == "inner" else a[2] @ b[:, 16:]
    torch.testing.assert_close(made[2] if name == "inner" else made[:, 16:], last)


def test_rows_of_no_group_are_zeros() -> None:
    made = grouped_mm(torch.ones(5, 2), torch.ones(2, 2, 3), offs=torch.tensor([1, 4]))
    assert made.sum(1).tolist() == [6.0, 6.0, 6.0, 6.0, 0.0]


def test_installed_function_takes_float64_and_has_gradients() -> None:
    install()
    install()
    a = torch.randn(8, 16, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, 16, 32, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.grouped_mm(a, b, offs=OFFSETS).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert not b.grad[1].any()
    assert torch.nn.functional.grouped_mm(a.float(), b.float(), offs=OFFSETS).dtype == torch.float32
