"""reprod_log's files, read safely."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignment.errors import FileError
from alignment.judging.compare_paths import compare_paths
from alignment.recordings.reprod_read import find_logs, read_reprod_log
from alignment.results.report import DIVERGENCE, WITHIN_TOLERANCE
from porting.errors import PortingError, UnsafePickleError


def save(path: Path, value: Any) -> Path:
    """What `ReprodLogger.save` does."""
    np.save(path, value, allow_pickle=True)
    return path


def test_nested_dicts_are_flattened(tmp_path: Path) -> None:
    logits, label = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(2)
    value = {"logits": logits, "data": {"label": label, "deep": {"flag": np.array([True])}}, "lr": np.float64(0.5)}
    found = read_reprod_log(save(tmp_path / "forward_torch.npy", value))
    assert list(found) == ["logits", "data/label", "data/deep/flag", "lr"]
    np.testing.assert_array_equal(found["logits"], logits)
    assert found["logits"].dtype == np.float32
    assert found["data/label"].dtype == label.dtype
    assert found["lr"].shape == ()


@pytest.mark.parametrize("array", [np.arange(4.0), np.arange(6, dtype="i2").reshape(2, 3), np.array(1.5)])
def test_plain_array_is_one_quantity(tmp_path: Path, array: Any) -> None:
    found = read_reprod_log(save(tmp_path / "logits.npy", array))
    np.testing.assert_array_equal(found["array"], array)


class Crafted:
    """Leaves a file behind if anything executes it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("wrap", [lambda bad: bad, lambda bad: {"logits": bad}, lambda bad: {"a": {"b": [bad]}}])
def test_a_crafted_file_is_refused_and_not_executed(tmp_path: Path, wrap: Any) -> None:
    mark = tmp_path / "executed"
    path = save(tmp_path / "forward_torch.npy", np.array(wrap(Crafted(mark)), dtype=object))
    with pytest.raises(UnsafePickleError, match=r"forward_torch\.npy"):
        read_reprod_log(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": "text"}, "a is of str, expected an array of numbers"),
        ({"a": {"b": None}}, "a/b is of NoneType, expected an array of numbers"),
        ({"a": np.ones(1, complex)}, "a is of dtype complex128"),
        ({"a": {"b": np.ones(1)}, "a/b": np.ones(1)}, "key 'a/b' occurs twice"),
        (np.array([{}, {}], dtype=object), r"holds Python objects of shape \(2,\)"),
        (np.array([1.0], dtype=object)[0:1].reshape(1)[0:0].reshape(0), r"shape \(0,\)"),
    ],
)
def test_value_that_is_no_array_is_refused_with_its_key(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read_reprod_log(save(tmp_path / "x.npy", value))


def test_damaged_files_are_refused_with_their_path(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npy", {"a": np.ones(100)})
    whole = path.read_bytes()
    for length in (0, 5, 9, 60, 130, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises((FileError, PortingError), match=r"x\.npy"):
            read_reprod_log(path)
    save(path, np.ones(100))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match="damaged"):
        read_reprod_log(path)
    path.write_text("<html>")
    with pytest.raises(FileError, match=r"is no \.npy file"):
        read_reprod_log(path)
    with pytest.raises(FileError, match="cannot be read"):
        read_reprod_log(tmp_path / "none.npy")


def test_file_names_in_use_are_understood(tmp_path: Path) -> None:
    names = ("forward_ref", "forward_paddle", "loss_pytorch", "losses_paddle", "losses_torch", "train_align_torch", "x")
    for name in names:
        save(tmp_path / f"{name}.npy", {})
    found = {step: {side: path.name for side, path in sides.items()} for step, sides in find_logs(tmp_path).items()}
    assert found == {
        "forward": {"candidate": "forward_paddle.npy", "reference": "forward_ref.npy"},
        "loss": {"reference": "loss_pytorch.npy"},
        "bp_align": {"candidate": "losses_paddle.npy", "reference": "losses_torch.npy"},
        "train_align": {"reference": "train_align_torch.npy"},
    }
    save(tmp_path / "forward_torch.npy", {})
    with pytest.raises(FileError, match=r"forward_torch\.npy: stands for the same side .* as forward_ref\.npy"):
        find_logs(tmp_path)


def test_files_and_folders_of_reprod_log_are_compared(tmp_path: Path) -> None:
    logits = np.linspace(0, 1, 10, dtype=np.float32)
    torch = save(tmp_path / "forward_torch.npy", {"logits": logits})
    paddle = save(tmp_path / "forward_paddle.npy", {"logits": logits + np.float32(1e-7)})
    report = compare_paths(torch, paddle)
    assert report.verdict == WITHIN_TOLERANCE
    assert [(row.key, row.step) for row in report.rows] == [("logits", "compare")]
    folder = compare_paths(tmp_path, tmp_path)
    assert [(row.key, row.step) for row in folder.rows] == [("forward/logits", "forward")]
    assert folder.rows[0].max != 0
    save(tmp_path / "loss_torch.npy", {"loss": np.ones(1)})
    lost = compare_paths(tmp_path, tmp_path)
    assert lost.verdict == DIVERGENCE
    assert [failure.key for failure in lost.failures] == ["loss/loss"]


def test_paths_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "forward_torch.npy", {"logits": np.ones(1)})
    with pytest.raises(FileError, match="name two files, or two folders"):
        compare_paths(path, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"empty: holds neither recordings nor files such as forward_torch\.npy"):
        compare_paths(tmp_path / "empty", tmp_path)
