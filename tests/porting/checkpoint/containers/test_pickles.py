"""Pickles are read, and nothing in them is executed, however it is asked for."""

from __future__ import annotations

import argparse
import builtins
import collections
import contextlib
import os
import pickle
import pickletools
import re
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from porting.checkpoint import open_checkpoint
from porting.checkpoint.containers.pickles import load_plain
from porting.errors import CheckpointError, PortingError, UnsafePickleError


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self._call


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def load(data: bytes) -> object:
    return load_plain(data, path="a.npy")


TEXT = st.text("a\0\n.'é中😀", max_size=9)
"""Texts of characters that take one to four bytes. Hypothesis' own alphabet takes it many seconds to set up."""
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXT
    | st.binary(max_size=9)
    | hnp.arrays(st.sampled_from([np.float32, np.int64, np.bool_]), hnp.array_shapes(min_dims=0, max_side=4)),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(TEXT | st.integers(-(2**60), 2**60), inner, max_size=4)
    | st.tuples(inner, inner),
    max_leaves=12,
)  # fmt: skip


def assert_same(loaded: object, expected: object) -> None:
    assert type(loaded) is type(expected)
    if isinstance(expected, np.ndarray):
        assert isinstance(loaded, np.ndarray)
        assert (loaded.dtype, loaded.shape, loaded.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
    elif isinstance(expected, dict):
        assert isinstance(loaded, dict)
        assert list(loaded) == list(expected)
        for key, value in expected.items():
            assert_same(loaded[key], value)
    elif isinstance(expected, list | tuple):
        assert isinstance(loaded, list | tuple)
        for one, other in zip(loaded, expected, strict=True):
            assert_same(one, other)
    else:
        assert loaded == expected


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@given(value=PLAIN)
def test_plain_values_survive(protocol: int, value: object) -> None:
    assert_same(load(pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(9000, dtype=np.float32).reshape(90, 100),
        np.asfortranarray(np.arange(9000, dtype=np.int16).reshape(90, 100)),
        np.arange(9000, dtype=">f8"),
        np.float32(3.5),
        np.zeros((0, 3)),
        np.array(True),
    ],
    ids=str,
)
def test_arrays_survive(protocol: int, array: Any) -> None:
    loaded = load(pickle.dumps({"a": array, "again": array}, protocol))
    assert isinstance(loaded, dict)
    assert (loaded["a"] == array).all()
    assert loaded["a"].shape == array.shape
    assert loaded["a"].dtype == array.dtype.newbyteorder("=")


def test_the_dict_that_numpy_saves_as_an_array(tmp_path: Path) -> None:
    # What numpy.save makes of a dict, as reprod_log's files are: an array of Python objects without axes.
    nested = {"loss": np.float32(0.5), "text": "x" * 9000}
    value: dict[str, Any] = {"logits": np.arange(6.0).reshape(2, 3), "nested": nested}
    # Values that are no arrays, on purpose.
    np.save(tmp_path / "a.npy", value, allow_pickle=True)  # type: ignore[arg-type]
    data = (tmp_path / "a.npy").read_bytes()
    loaded = load(data[data.index(b"\n") + 1 :])
    assert isinstance(loaded, dict)
    assert loaded["logits"].tolist() == value["logits"].tolist()
    assert loaded["nested"] == value["nested"]


def test_harmless_objects_are_left_out() -> None:
    value: dict[str, Any] = {
        "args": argparse.Namespace(lr=0.1), "path": Path("a"), "state": collections.defaultdict(dict, {1: 2}),
        "counts": collections.defaultdict(int), "names": {"a", "b"}, "frozen": frozenset({1}), "number": 1 + 2j,
        "ordered": collections.OrderedDict(a=1), "epoch": np.int64(3),
    }  # fmt: skip
    for protocol in (2, 3, 4, 5):
        loaded = load(pickle.dumps(value, protocol))
        assert isinstance(loaded, dict)
        assert loaded["names"] == {"a", "b"}
        assert loaded["state"] == {1: 2}
        assert (loaded["frozen"], loaded["number"], loaded["ordered"]) == (frozenset({1}), 1 + 2j, {"a": 1})
        assert loaded["epoch"] == 3
        assert type(loaded["args"]).__name__ == "Inert"


ATTACKS: dict[str, Callable[[str], bytes]] = {
    "os.system": lambda command: pickle.dumps({"a": Calls(os.system, command)}),
    "protocol 2": lambda command: pickle.dumps({"a": Calls(os.system, command)}, 2),
    "subprocess": lambda command: pickle.dumps(Calls(subprocess.check_output, ["sh", "-c", command])),
    "eval": lambda command: pickle.dumps(Calls(builtins.eval, f"__import__('os').system({command!r})")),
    "exec": lambda command: pickle.dumps(Calls(builtins.exec, f"import os; os.system({command!r})")),
    "getattr": lambda command: (
        b"\x80\x04cbuiltins\ngetattr\n(cos\n__name__\n" + text("system") + b"tR(" + text(command) + b"tR."),
    "import": lambda command: b"\x80\x04cbuiltins\n__import__\n(" + text("os") + b"tR.",
    "nested reduce": lambda command: pickle.dumps(Calls(list, [Calls(dict, [("a", Calls(os.system, command))])])),
    "dotted name": lambda command: b"\x80\x04" + text("builtins") + text("eval.__call__") + b"\x93.",
    "dotted known name": lambda command: b"\x80\x04" + text("numpy") + text("core.multiarray._reconstruct") + b"\x93.",
    "through a known module": lambda command: b"\x80\x02cnumpy\nos.system\n(" + text(command) + b"tR.",
    "torch.load": lambda command: b"\x80\x02ctorch.serialization\nload\n(" + text("evil.pth") + b"tR.",
    "torch.storage": lambda command: b"\x80\x02ctorch.storage\n_load_from_bytes\n(" + text("x") + b"tR.",
    "numpy.load": lambda command: b"\x80\x02cnumpy\nload\n(" + text("evil.npy") + b"N\x88tR.",
    "pickle.loads": lambda command: b"\x80\x04c_pickle\nloads\n(" + text("x") + b"tR.",
    "Paddle's eval, other code": lambda command: (
        b"\x80\x04cbuiltins\neval\n(" + text(f"__import__('os').system({command!r})") + b"}tR."),
    "Paddle's eval, no array": lambda command: (
        b"\x80\x04cbuiltins\neval\n(" + text("data") + b"}" + text("data") + b"K\x01stR."),
    "Paddle's eval, more names": lambda command: (
        b"\x80\x04cbuiltins\neval\n(" + text("data") + b"}(" + text("data") + b"K\x01"
        + text("__builtins__") + b"}utR."),
    "state of a class": lambda command: b"\x80\x04cargparse\nNamespace\n)\x81}" + text("a") + b"cos\nsystem\nsb.",
    "functools.partial": lambda command: b"\x80\x04cfunctools\npartial\n(cos\nsystem\n" + text(command) + b"tR)R.",
    "operator.attrgetter": lambda command: b"\x80\x04coperator\nattrgetter\n(" + text("system") + b"tR.",
    "inst": lambda command: b"\x80\x02(" + text(command) + b"ios\nsystem\n.",
    "obj": lambda command: b"\x80\x02(cos\nsystem\n" + text(command) + b"o.",
    "extension": lambda command: b"\x80\x02\x82\x01.",
    "newobj_ex": lambda command: b"\x80\x04cos\nsystem\n(" + text(command) + b"t}\x92.",
    "protocol 0": lambda command: f"cos\nsystem\n(S'{command}'\ntR.".encode(),
    "a symbol that is no function": lambda command: b"\x80\x02cnumpy\nndarray\n(" + text(command) + b"tR.",
    "a state for a function": lambda command: b"\x80\x02cnumpy\ndtype\n}b.",
    "setitem of a function": lambda command: b"\x80\x02cnumpy\ndtype\n" + text("a") + text("b") + b"s.",
    "a persistent id": lambda command: b"\x80\x02" + text("x") + b"Q.",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("where", ["plain", "pdparams", "torch-zip", "torch-legacy"])
def test_attacks_are_refused(attack: str, where: str, tmp_path: Path, canary: Path) -> None:
    path = tmp_path / "a.pth"
    data = ATTACKS[attack](f"touch {canary}")
    read = wrapped(where, path, data)
    with pytest.raises(CheckpointError) as caught:
        read()
    assert not canary.exists()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert re.search("nothing was executed|is a damaged pickle|is not a checkpoint", str(caught.value))


def wrapped(where: str, path: Path, data: bytes) -> Callable[[], object]:
    """Puts a pickle where each format has one; returns what reads it."""
    if where == "plain":
        return lambda: load_plain(data, path=path)
    if where == "torch-zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
    else:
        path.write_bytes(data if where == "pdparams" else LEGACY_HEAD + data + b"\x80\x02].")
    return lambda: open_checkpoint(path)


LEGACY_HEAD = b"".join(
    pickle.dumps(value, 2)
    for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
)


def test_the_message_names_what_was_asked_for() -> None:
    with pytest.raises(UnsafePickleError) as caught:
        load(pickle.dumps({"a": Calls(os.system, "true")}))
    assert str(caught.value) == (
        f"a.npy: its pickle asks for '{os.system.__module__}' 'system' at byte "
        f"{pickle.dumps({'a': Calls(os.system, 'true')}).index(bytes([0x93]))}, which is neither a tensor nor a plain "
        "container; nothing was executed. If you trust its origin, load it with its own framework and save the state "
        "dict alone"
    )


def test_every_opcode_that_writers_use_is_known() -> None:
    values = [
        *(1, 300, 70000, -1, 2**40, 2**100, 1.5, "a", "é" * 300, b"x", b"x" * 300, (), (1,), (1, 2), (1, 2, 3)),
        *((1, 2, 3, 4), [], [1], [1, 2], {}, {1: 2}, {1: 2, 3: 4}, None, True, False, {"s"}, frozenset({1})),
    ]
    used = {
        opcode.name for protocol in (2, 3, 4, 5) for value in values
        for opcode, _, _ in pickletools.genops(pickle.dumps([value, value], protocol))
    }  # fmt: skip
    assert {"BINFLOAT", "LONG1", "SETITEMS", "APPENDS", "SHORT_BINBYTES", "ADDITEMS", "FROZENSET", "BINGET"} <= used
    for protocol in (2, 3, 4, 5):
        for value in values:
            assert load(pickle.dumps([value, value], protocol)) == [value, value]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty", b"", r"truncated or damaged: 1 bytes are expected at byte 0, the file ends at 0"),
        ("no stop", b"\x80\x02}", "truncated"),
        ("empty stack", b"\x80\x02.", "ends in the middle of a value"),
        ("open mark", b"\x80\x02(}.", "ends in the middle"),
        ("two values", b"\x80\x02}}.", "ends in the middle"),
        ("pop nothing", b"\x80\x020.", "finds nothing to work on"),
        ("no memo", b"\x80\x02h\x05.", "finds nothing"),
        ("short tuple", b"\x80\x02K\x01\x87.", "finds nothing"),
        ("huge count", b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f", "truncated"),
        ("huge text", b"\x80\x04\x8d" + b"\xff" * 8, "truncated"),
        ("huge frame", b"\x80\x04\x95" + b"\xff" * 8, "truncated"),
        ("protocol", b"\x80\x07N.", "protocol is 7, expected 2 to 5"),
        ("bad text", b"\x80\x02X\x02\x00\x00\x00\xff\xff.", "not UTF-8"),
        ("append to a dict", b"\x80\x02}K\x01a.", "appended to a value of type dict"),
        ("unhashable key", b"\x80\x02}]K\x01s.", "of type list is used as a key"),
        ("nested key", b"\x80\x02}((K\x01ttK\x01s.", "of type tuple is used as a key"),
        ("duplicate key", b"\x80\x02}(" + text("w") + b"K\x01" + text("w") + b"K\x02u.", "key 'w' occurs twice"),
        ("duplicate later", b"\x80\x02}" + (text("w") + b"K\x01s") * 2 + b".", "key 'w' occurs twice"),
        ("trailing", b"\x80\x02}.xx", "2 bytes after its end at byte 4"),
        ("endless name", b"\x80\x02c" + b"x" * 400, "does not end"),
        ("call without a tuple", b"\x80\x02cnumpy\ndtype\nK\x01R.", "has a value of type int for its arguments"),
        ("call a number", b"\x80\x02K\x01)R.", "a value of type int is called"),
        ("dtype of nothing", b"\x80\x02cnumpy\ndtype\n)R.", "numpy.dtype has other arguments"),
        ("out of band", b"\x80\x05\x97.", "none that a checkpoint needs"),
    ],
)
def test_damaged_pickles(name: str, data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(data)


def test_containers_nested_too_deep_are_refused() -> None:
    with pytest.raises(CheckpointError, match="nested more than 64 deep"):
        load(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    with pytest.raises(CheckpointError, match="nested more than 64 deep"):
        load(b"\x80\x02]q\x002a.")


def test_small_pickle_that_unfolds_to_many_items_is_refused() -> None:
    value: list[Any] = []
    for _ in range(20):
        value = [value] * 10
    data = pickle.dumps(value)
    assert len(data) < 1000
    with pytest.raises(CheckpointError, match="holds more than 100000 items"):
        load(data)


def test_keys_of_equal_hashes_are_refused() -> None:
    keys = b"".join(b"\x8a\x09" + (n * (2**61 - 1)).to_bytes(9, "little") + b"N" for n in range(1, 100))
    with pytest.raises(CheckpointError, match="a value of type int is used as a key"):
        load(b"\x80\x02}(" + keys + b"u.")


@pytest.mark.parametrize("used", [b"}h\x3cNsh\x3cNs", b"ccollections\nOrderedDict\n(h\x3ctR", b"}q\x3dh\x3ch\x3ds"])
def test_error_about_a_value_that_unfolds_is_short(used: bytes) -> None:
    doubled = b"".join(b"h%ch%c\x86q%c" % (level, level, level + 1) for level in range(60))
    with pytest.raises(CheckpointError) as caught:
        load(b"\x80\x02K\x01\x85q\x00" + doubled + b"0" + used + b".")
    assert len(str(caught.value)) < 1000


def test_copies_count_against_the_budget() -> None:
    many = b"\x80\x02(" + b"K\x01" * 1000 + b"tq\x000" + b"]" + b"(" + b"c__builtin__\nset\n(h\x00tR" * 6000 + b"e."
    with pytest.raises(CheckpointError, match="it makes more than 48 MiB of objects, more than any checkpoint needs"):
        load(many)


def test_array_whose_bytes_do_not_fit_its_shape_is_refused() -> None:
    data = pickle.dumps({"w": np.arange(2000, dtype=np.float32)}, 4)
    with pytest.raises(CheckpointError, match=r"w of shape \(1999,\) .* takes 7996 bytes, 8000 are there"):
        load(data.replace((2000).to_bytes(2, "little"), (1999).to_bytes(2, "little"), 1))


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([object]), np.zeros(2, "M8[s]"), np.zeros(2, "f4,i4")])
def test_arrays_of_other_than_numbers_are_refused(array: Any) -> None:
    with pytest.raises(CheckpointError):
        load(pickle.dumps({"w": array}))


@given(data=st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(PortingError):
        load(b"\x80\x02" + data)


@given(st.data())
def test_any_flipped_byte(data: st.DataObject) -> None:
    value = {"w": np.arange(6, dtype=np.float32), "n": {"k": [1, (2.0, "x")]}, "s": {"a"}, "f": np.float64(1)}
    raw = bytearray(pickle.dumps(value, data.draw(st.sampled_from([2, 3, 4, 5]))))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PortingError):
        load(bytes(raw))
