"""Files of other tools whose weights are wrapped in a way of their own: they are read, or refused with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import porting
from porting.checkpoint import open_checkpoint
from porting.checkpoint.prefixes import without_modules
from porting.errors import CheckpointError, UnsafePickleError
from porting.tables import build


class Settings(dict[str, Any]):
    """A dictionary of a class of its own."""


class History:
    """An object that keeps methods of its class, as MMEngine's HistoryBuffer does."""

    def __init__(self) -> None:
        self.methods = {"mean": History.mean, "of": History.of}

    @classmethod
    def of(cls) -> History:
        return cls()

    def mean(self) -> float:
        return 0.0


def test_methods_of_classes_beside_the_weights_are_left_out(torch: Any, tmp_path: Path) -> None:
    saved = {"message_hub": {"loss": History()}, "state_dict": {"w": torch.ones(2)}}
    torch.save(saved, tmp_path / "a.pth")  # protocol 2: the methods are calls of getattr
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        assert list(checkpoint.tensors) == ["w"]
        assert "message_hub: left out, not weights (dict)" in checkpoint.notes


@pytest.mark.parametrize(
    ("what", "name"), [("cnumpy\nndarray\n", "__init__"), ("ca\nC\n", "system"), ("ca\nos\n", "x"), ("K\x01", "real")]
)
def test_getattr_of_anything_else_is_refused(what: str, name: str, tmp_path: Path) -> None:
    length = len(name).to_bytes(4, "little")
    code = b"\x80\x02cbuiltins\ngetattr\n(" + what.encode() + b"X" + length + name.encode() + b"tR."
    (tmp_path / "a.pdparams").write_bytes(code)
    with pytest.raises(UnsafePickleError, match="nothing was executed"):
        open_checkpoint(tmp_path / "a.pdparams")


def test_dictionary_of_an_own_class_around_the_weights_is_read_as_a_plain_one(torch: Any, tmp_path: Path) -> None:
    own = Settings(model=Settings({"w": torch.ones(2)}), config=Settings(lr=0.1))
    for saved in (own, {"state": own}, own["model"], {"model": own["model"], "config": own["config"]}):
        torch.save(saved, tmp_path / "a.pth")
        with open_checkpoint(tmp_path / "a.pth") as checkpoint:
            assert np.array_equal(checkpoint.tensors["w"].load(), [1, 1])
            kind = f"{Settings.__module__}.Settings"
            assert f"a dictionary of the class {kind} was read as a plain one" in checkpoint.notes
            assert saved is own["model"] or any(note.endswith(f"({kind})") for note in checkpoint.notes)


def test_dictionary_of_an_own_class_that_holds_itself_is_read(torch: Any, tmp_path: Path) -> None:
    own = Settings(model={"w": torch.ones(2)})
    own["itself"] = own
    torch.save(own, tmp_path / "a.pth")
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        assert list(checkpoint.tensors) == ["w"]


def test_numbers_in_the_place_of_a_tensor_are_refused(torch: Any, tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.ones(2, 2), "fc.bias": [0.5, 0.5], "mean": [0.5]}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"holds a list under fc\.bias, expected a tensor"):
        open_checkpoint(tmp_path / "a.pth")


def test_folder_of_checkpoints_called_tar_names_them(torch: Any, tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "last.pth.tar")
    with open_checkpoint(tmp_path) as checkpoint:
        assert list(checkpoint.tensors) == ["w"]
    torch.save({"w": torch.ones(2)}, tmp_path / "checkpoint-3.pth.tar")
    with pytest.raises(CheckpointError, match=r"there are checkpoint-3\.pth\.tar, last\.pth\.tar: name one"):
        open_checkpoint(tmp_path)


def test_module_within_names_is_taken_off_where_the_names_stay_distinct() -> None:
    assert without_modules({"features.module.0.weight": 1, "module.fc.weight": 2}) == {
        "features.0.weight": 1,
        "fc.weight": 2,
    }
    assert without_modules({"features.module.0.weight": 1, "features.0.weight": 2}) is None
    assert without_modules({"submodule.weight": 1}) is None


def test_bytes_for_names_are_not_called_damage(torch: Any, tmp_path: Path) -> None:
    for protocol in (2, 4):
        torch.save({b"fc.weight": torch.ones(2)}, tmp_path / "a.pth", pickle_protocol=protocol)
        with pytest.raises(CheckpointError, match=r"has a tensor under b'fc\.weight', expected a name"):
            open_checkpoint(tmp_path / "a.pth")


def test_counters_may_be_halved_like_the_weights_beside_them(torch: Any, tmp_path: Path) -> None:
    specs = build("mobilenet_v2", 10).tensors
    halved = {name: torch.ones(spec.shape, dtype=torch.float16) for name, spec in specs.items()}
    torch.save(halved, tmp_path / "a.pth")
    assert porting.convert(tmp_path / "a.pth", tmp_path / "a.pdparams").target_layout == "paddle"
    porting.convert(tmp_path / "a.pth", tmp_path / "b.pth")
    assert torch.load(tmp_path / "b.pth")["features.0.1.num_batches_tracked"] == 1
    torch.save(halved | {"classifier.1.bias": torch.ones(10, dtype=torch.int64)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="wrong dtypes"):
        porting.convert(tmp_path / "a.pth", tmp_path / "c.pdparams")
