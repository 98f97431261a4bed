"""Mistakes of a first hour, each with the lines that it prints: never a traceback, at most six lines, with a remedy."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli
from alignment.results.report import SAME_FUNCTION, Report, Row, write_report
from porting.architectures import build
from porting.conversion import write_random

_PAIR = """from alignment.pair import Pair, Side

def reference():
    import torch
    return torch.nn.Linear(12, 3)

def candidate():
    import paddle
    return paddle.nn.Linear(12, 3)

PAIR = Pair(
    name="p",
    reference=Side("torch", "FILE:reference"),
    candidate=Side("paddle", "FILE:candidate"),
    input_shape=(12,),
    rules="auto",
)
"""
_LARGEST = 6


def pair_file(name: str, before: str = "", after: str = "") -> None:
    assert before in _PAIR
    Path(name).write_text(_PAIR.replace(before, after).replace("FILE", name) if before else _PAIR.replace("FILE", name))


def run(words: str) -> Result:
    tool, *rest = shlex.split(words)
    return CliRunner().invoke(getattr(cli, tool.replace("-", "_")), rest, prog_name=tool)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    Path("garbage.pth").write_bytes(b"garbage")
    Path("nothing.py").touch()
    Path("old.json").write_text('{"schema_version": 7}')
    Path("cut.json").write_text('{"verdict":')
    Path("bad.toml").write_text("x = ")
    os.mkfifo("fifo.json")
    Path("run").mkdir()
    Path("run/report.json").write_text("{}")
    for name in ("empty.json", "empty.yaml"):
        Path(name).touch()
    Path("list.json").write_text("[]")
    for name in ("words.txt", "classes.txt"):
        Path(name).write_text("a\nb\n")
    write_random(build("pit_micro"), "other.pth")
    np.savez("odd.npz", weight=np.ones((2, 3), np.float32))
    row = Row("forward/logits", "forward", "output", "float64", 0.0, 0.0, 0.0, SAME_FUNCTION, "because")
    write_report(Report(SAME_FUNCTION, "p", ("forward",), (row,)), "good.json")
    Path("my_pair.py").write_text(_PAIR.replace("FILE", "my_pair.py"))


PAIRS = {
    "syntax error": ("    input_shape=(12,),", "    input_shape=(12,", "SyntaxError", "File ", ", line "),
    "missing argument": (
        '    name="p",\n',
        "",
        "missing 1 required positional argument: 'name'",
        "it takes name",
        ", line ",
    ),
    "misspelt argument": ("input_shape", "inputshape", "inputshape", "did you mean input_shape?", ", line "),
    "misspelt argument of a side": (
        'Side("torch", "FILE:reference")',
        'Side("torch", bulid="FILE:reference")',
        *("bulid", "did you mean build?", ", line "),
    ),
    "side without a framework": (
        'Side("torch", "FILE:reference")',
        "Side()",
        "'framework'",
        "it takes framework",
        ", line ",
    ),
    "exception": ("PAIR =", "x = {}['nope']\nPAIR =", "KeyError: 'nope'", "    x = {}['nope']", ", line 11"),
    "sys.exit": ("PAIR =", "import sys; sys.exit()\nPAIR =", "sys.exit(None)", "sys.exit()", ", line 11"),
    "misspelt PAIR": ("PAIR =", "PIAR =", "has no 'PAIR'", "did you mean PIAR?", ""),
    "PAIR in lower case": ("PAIR =", "pair =", "has no 'PAIR'", "did you mean pair?", ""),
    "argument that there is none like": (
        "    input_shape=(12,),",
        "    input_shape=(12,), num_classes=3,",
        *("num_classes", "it takes name, reference", ", line "),
    ),
    "no pair": ("Pair(\n", "dict(\n", "is a dict", "expected an alignment.pair.Pair", ""),
    "unknown framework": (
        'Side("torch"',
        'Side("pytorch"',
        "unknown framework 'pytorch'",
        "did you mean torch?",
        ", line ",
    ),
    "no rules": ('    rules="auto",\n', "", "nothing says which weights", "rules='auto'", ", line "),
    "file of rules that is not there": (
        '"auto"',
        '"rules.json"',
        "rules.json",
        "check the path (rules of the pair)",
        "",
    ),
    "package that is not installed": (
        "PAIR =",
        "import nowhere\nPAIR =",
        "No module named 'nowhere'",
        "installed for",
        ", line",
    ),
    "misspelt package": (
        "PAIR =",
        "import nunpy\nPAIR =",
        "No module named 'nunpy'",
        "did you mean numpy?",
        ", line 11",
    ),
    "misspelt import": ("Pair, Side", "Pair, Sides", "cannot import name 'Sides'", "did you mean Side?", ", line 1"),
    "misspelt name": ("Pair(\n", "Piar(\n", "name 'Piar' is not defined", "did you mean Pair?", ", line"),
    "wrong indentation": ("    return torch", "  return torch", "IndentationError", "    return torch", "line 5"),
    "endless recursion": (
        "PAIR =",
        "def f(): f()\nf()\nPAIR =",
        "maximum recursion depth",
        "def f(): f()",
        ", line 11",
    ),
    "shape that is a number": (
        "input_shape=(12,)",
        "input_shape=12",
        "input_shape is 12",
        "input_shape=(3, 64, 64)",
        ", line ",
    ),
    "shape that holds words": (
        "input_shape=(12,)",
        'input_shape=("a",)',
        "input_shape holds 'a'",
        "(3, 64, 64)",
        ", line ",
    ),
    "function in place of its name": (
        '"torch", "FILE:reference"',
        '"torch", reference',
        "build is the function reference itself and not its name",
        'build="my_model.py:create"',
        ", line ",
    ),
    "model in place of a side": (
        'reference=Side("torch", "FILE:reference")',
        "reference=reference",
        "reference is <function",
        'reference=Side("torch", "my_model.py:create")',
        ", line ",
    ),
    "options that are no mapping": (
        '"FILE:reference")',
        '"FILE:reference", options=[1])',
        "options is [1]",
        'options={"depth": 12}',
        ", line ",
    ),
    "image size without a channel": (
        "input_shape=(12,)",
        "input_shape=()",
        "input shape is ()",
        "input_shape=(3, 64, 64)",
        ", line ",
    ),
}
"""What is changed in a right pair file, and what is printed: the problem, the remedy and the place."""


@pytest.mark.parametrize("name", PAIRS)
def test_slip_in_a_pair_file_is_told_with_its_place_and_remedy(name: str) -> None:
    before, after, *said = PAIRS[name]
    pair_file("slip.py", before, after)
    done = run("pit-align forward --pair slip.py --json")
    _is_short(done, 2 if name == "unknown framework" else 3, *said)
    assert json.loads(done.stdout)["error"]["exit_code"] == done.exit_code


COMMANDS: dict[str, tuple[int, str, str]] = {
    "pit-align forward --pair my_piar.py": (3, "there is no such file", "did you mean my_pair.py?"),
    "pit-align forward --pair unlike.py": (3, "there is no such file", "; check the path"),
    "pit-align forward --pair nothing.py": (3, "nothing.py has no 'PAIR'", "define it there, or name another"),
    "pit-align forward --pair my_pair": (3, "module 'my_pair' is not found", "did you mean the file my_pair.py?"),
    "pit-align forward --pair my_pair.py --model pit_ti": (2, "--model and --pair", "give one of them"),
    "pit-align forward": (2, "nothing is named", "--model NAME"),
    "pit-align forward --model my_pair.py": (2, "published model", "--pair my_pair.py"),
    "pit-align forward --model pit_tii": (2, "unknown model 'pit_tii'", "did you mean pit_ti?"),
    "pit-align foward --model pit_ti": (2, "unknown command 'foward'", "did you mean forward?"),
    "pit-align forward --modle pit_ti": (2, "No such option", "--model"),
    "pit-align forward --model pit_ti --image-size 5": (2, "image size (5, 5)", "smaller than the patch size 16"),
    "pit-align forward --pair my_pair.py --image-size 32": (2, "are for --model", "a pair says its own"),
    "pit-align forward --model pit_ti --weights absent.pth": (3, "absent.pth", "check the path (--weights)"),
    "pit-align forward --model pit_ti --weights garbage.pth": (
        3,
        "garbage.pth: is not a checkpoint",
        "expected a file",
    ),
    "pit-align forward --pair my_pair.py --inputs absent.npz": (3, "absent.npz", "check the path (--inputs)"),
    "pit-align forward --pair my_pair.py --torch-python /no/python": (3, "cannot be started", "--torch-python"),
    "pit-align rules --pair my_pair.py --paddle-python /no/python": (3, "cannot be started", "--paddle-python"),
    "pit-align train --model pit_ti --set schedule.epoch=3": (2, "unknown setting", "did you mean schedule.epochs?"),
    "pit-align record forwrd --backend paddle --model pit_ti": (2, "unknown step 'forwrd'", "did you mean forward?"),
    "pit-align report absent.json": (
        3,
        "absent.json: the report cannot be read",
        "run the alignment, or check the path",
    ),
    "pit-align report run": (3, "Is a directory", "name the file in it: run/report.json"),
    "pit-align report fifo.json": (3, "it is a FIFO", "expected a regular file"),
    "pit-align report cut.json": (3, "not valid JSON", "line 1 column"),
    "pit-align report old.json": (3, "schema version 7", "this version reads 1"),
    "pit-align gate absent.json": (3, "absent.json: the report cannot be read", "run the alignment"),
    "pit-align gate run/report.json --config bad.toml": (3, "it has no schema_version", "report.json"),
    "pit-align compare old.json absent.npy": (3, "is no .npy file", "expected one that"),
    "pit-align forward --pair run": (3, "run is a folder", "name the Python file in it"),
    "pit-align forward --pair old.json": (3, "old.json is no Python file", "path/to/file.py:name"),
    "pit-align forward --model pit_ti --weights other.pth": (3, "holds pit_micro", "expected pit_ti at 224x224"),
    "pit-align forward --model pit_ti --inputs words.txt": (3, "it is none of these", ".npz, .npy or .safetensors"),
    "pit-align forward --model pit_ti --out words.txt": (3, "is a file, expected a folder", "name another --out"),
    "pit-align forward --model pit_ti --html run": (2, "--html", "is a directory"),
    "pit-align rules --pair my_pair.py --save run": (2, "--save", "is a directory"),
    "pit-align forward --model pit_ti --torch-python run": (3, "it is a folder", "run/bin/python"),
    "pit-align forward --model pit_ti --torch-python words.txt": (3, "looked for on PATH", "./words.txt"),
    "pit-align report empty.json": (3, "it is empty", "empty.json: not a report"),
    "pit-align report list.json": (3, "it has no schema_version", "logs/<model>/report.json"),
    "pit-align report other.pth": (3, "it is no text", "not a report"),
    "pit-align gate old.json --config absent.toml": (3, "schema version 7", "this version reads 1"),
    "pit-align gate good.json --config absent.toml": (3, "absent.toml", "--init --config absent.toml` writes it"),
    "pit-align gate good.json --config run": (3, "run: the gate's configuration cannot be read", "Is a directory"),
    "pit-port convert other.pth run": (2, "run is a folder", "name a file in it"),
    "pit-port convert other.pth x.pth --rules my_pair.py": (3, "rules are JSON", "is for --pair"),
    "pit-port convert other.pth x.pth --pair my_pair.py --rules old.json": (2, "either --rules or --pair", "--help"),
    "pit-port convert other.pth x.pth --optimizer-setting lr=1": (2, "--optimizer-setting", "is for --with-optimizer"),
    "pit-port convert other.pth x.pth --unproven": (2, "--unproven is for", "--rules and --pair"),
    "pit-port convert other.pth x.pdparams --with-optimizer": (
        *(3, "holds no state of an optimizer"),
        "without --with-optimizer the weights alone are ported",
    ),
    "pit-port convert odd.npz x.pdparams": (3, "not a known model", "--pair my_pair.py, which declares both models"),
    "pit-port check-rules absent.py": (3, "absent.py: there is no such file", "check the path"),
    "pit-port help convrt": (2, "unknown command 'convrt'", "did you mean convert?"),
    "pit-port convert other.pth x.pth --num-classes 99999999999999": (
        *(3, "x.pth: cannot be written"),
        "choose another target",
    ),
    "pit-port check-rules run": (3, "run: is a folder", "expected a Python file"),
    "pit-train train --config empty.yaml": (2, "empty.yaml: is empty", "sections such as model"),
    "pit-train train --config run": (2, "run: is a folder", "expected a YAML file"),
    "pit-train train --config other.pth": (2, "is no text", "expected a YAML file"),
    "pit-train train --config pit_micro_digits": (3, "no such folder (data.path)", "data.path=FOLDER"),
    "pit-train predict --weights other.pth words.txt": (
        3,
        "classes.txt, which lies beside the weights",
        "--classes names another file",
    ),
    "pit-train predict --weights other.pth words.txt --classes words.txt": (3, "--classes: there are 2", "10 classes"),
    "pit-port convert absent.pth x.pdparams": (3, "there is no such file", "check the path"),
    "pit-port convert garbage.pth x.pdparams": (3, "is not a checkpoint", "expected a file of"),
    "pit-port convert garbage.pth x": (2, "unknown suffix", "known: .pth"),
    "pit-port convert garbage.pth": (2, "Missing argument 'TARGET'", "--help"),
    "pit-port lits": (2, "unknown command 'lits'", "did you mean list?"),
    "pit-port random pit_to x.pth": (2, "unknown model 'pit_to'", "did you mean pit_ti?"),
    "pit-port random pit_ti garbage.pth": (3, "already exists", "use --force"),
    "pit-port inspect hf://nope": (3, "is no address on the hub", "expected hf://owner/name"),
    "pit-port plan garbage.pth --rules fifo.json": (3, "it is a FIFO", "expected a regular file"),
    "pit-train train --config pit_x": (2, "there is no such file", "did you mean the shipped pit_xs_224?"),
    "pit-train train --config pit_ti_224 data.pth=x": (2, "unknown setting", "did you mean data.path?"),
}
"""Command line to exit code, the problem and the remedy that are printed."""


@pytest.mark.parametrize("words", COMMANDS)
def test_slip_on_a_command_line_is_told_with_its_remedy(words: str) -> None:
    code, *said = COMMANDS[words]
    _is_short(run(words), code, *said)


def test_everything_that_is_missing_is_told_at_once() -> None:
    done = run(
        "pit-align forward --pair my_pair.py --torch-python /no/torch --paddle-python /no/paddle --inputs no.npz"
    )
    _is_short(
        done, 3, "3 things that this run needs are missing; nothing was begun", "no.npz", "/no/torch", "/no/paddle"
    )


def test_error_of_a_command_line_is_json_too() -> None:
    done = run("pit-port inspect absent.pth --json")
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    assert error == {"summary": "absent.pth: there is no such file; check the path", "details": [], "exit_code": 3}
    usage: dict[str, Any] = json.loads(run("pit-port convert --json").stdout)["error"]
    assert (usage["summary"], usage["exit_code"]) == ("Missing argument 'SOURCE'.", 2)


def _is_short(done: Result, code: int, *said: str) -> None:
    assert done.exit_code == code, done.output
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) <= _LARGEST, done.stderr
    assert "Traceback" not in done.stderr
    assert "not expected" not in done.stderr
    for words in said:
        assert words in done.stderr
