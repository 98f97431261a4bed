"""What all commands share on a terminal: help with examples, -q, -v, --json, --version, completion, hints."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import cli
from alignment.results.report import SAME_FUNCTION, Report, Row, write_report
from porting.architectures import NAMES, build
from porting.conversion import write_random
from porting.converters import layout_names
from porting.errors import PortingError

ROOT = Path(__file__).parents[1]
TOOLS: Mapping[str, click.Group] = {
    "pit-port": cli.pit_port,
    "pit-align": cli.pit_align,
    "pit-train": cli.pit_train,
}
COMMANDS = [(tool, name) for tool, group in TOOLS.items() for name in group.commands]
WITHOUT_JSON = {("pit-port", "random"), ("pit-train", "train")}
"""The commands whose result is a file, or a run's own log."""


def run(tool: str, *words: str | Path) -> Result:
    return CliRunner().invoke(TOOLS[tool], [str(word) for word in words], prog_name=tool)


def program(tool: str, *words: str | Path, **variables: str) -> list[str]:
    """The command line of a tool in a process of its own, with these variables set."""
    code = f"import sys; sys.argv[0] = {tool!r}; import cli; cli.{tool.replace('-', '_')}()"
    assignments = (f"{name}={value}" for name, value in variables.items())
    return ["env", f"PYTHONPATH={ROOT}", *assignments, sys.executable, "-c", code, *map(str, words)]


def command_of(tool: str, name: str) -> click.Command:
    return TOOLS[tool].commands[name]


def examples(command: click.Command, tool: str) -> Iterator[list[str]]:
    for line in (command.help or "").splitlines():
        if line.strip().startswith(f"{tool} "):
            yield shlex.split(line.split("&&")[0])[1:]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    row = Row("forward/logits", "forward", "output", "float64", 0.0, 0.0, 0.0, SAME_FUNCTION, "because")
    path = tmp_path / "report.json"
    write_report(Report(SAME_FUNCTION, "pit_ti", ("forward",), (row,)), path)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.pth"
    write_random(build("pit_micro"), path)
    return path


@pytest.mark.parametrize(("tool", "name"), COMMANDS)
def test_examples_of_every_command_can_be_parsed(tool: str, name: str) -> None:
    command = command_of(tool, name)
    shown_examples = list(examples(command, tool))
    assert shown_examples, f"{tool} {name} --help shows no example"
    for words in shown_examples:
        assert words[0] == name
        command.make_context(name, words[1:])
    shown = run(tool, name, "--help").stdout
    assert all(shlex.join(words).split(" --")[0].replace("'", "") in shown.replace("'", "") for words in shown_examples)


@pytest.mark.parametrize("tool", TOOLS)
def test_examples_of_every_tool_can_be_parsed(tool: str) -> None:
    for words in examples(TOOLS[tool], tool):
        command_of(tool, words[0]).make_context(words[0], words[1:])
    assert list(examples(TOOLS[tool], tool))


@pytest.mark.parametrize(("tool", "name"), COMMANDS)
def test_every_command_takes_quiet_and_json(tool: str, name: str) -> None:
    flags = {flag for option in command_of(tool, name).params for flag in option.opts}
    if (tool, name) != ("pit-train", "train"):
        assert {"-q", "--quiet"} <= flags
    assert ("--json" in flags) == ((tool, name) not in WITHOUT_JSON)


def test_quiet_leaves_the_exit_code_and_json(source: Path, tmp_path: Path) -> None:
    other, port = tmp_path / "b.pth", tmp_path / "a.pdparams"
    write_random(build("pit_micro"), other, seed=1)
    for code, words in {
        0: ("convert", source, port, "-q"),
        1: ("diff", source, other, "-q"),
    }.items():
        done = run("pit-port", *words)
        assert (done.exit_code, done.output) == (code, "")
    assert run("pit-port", "inspect", source, "--quiet").output == ""
    assert json.loads(run("pit-port", "inspect", source, "-q", "--json").output)["model"] == "pit_micro"
    failed = run("pit-port", "inspect", tmp_path / "none.pth", "-q")
    assert failed.exit_code == 3
    assert "there is no such file" in failed.stderr


def test_quiet_downloads_show_no_bars_of_their_own(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(*_: object, **__: object) -> None:
        raise PortingError(f"bars off: {os.environ.get('HF_HUB_DISABLE_PROGRESS_BARS')}")

    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    monkeypatch.setattr("porting.describe.open_checkpoint", seen)
    assert "bars off: None" in run("pit-port", "inspect", source).stderr
    assert "bars off: 1" in run("pit-port", "inspect", source, "-q").stderr
    assert "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ


def test_quiet_gate_and_report_print_nothing(report: Path, tmp_path: Path) -> None:
    config = tmp_path / "gate.toml"
    config.write_text('require = [{ step = "bp", dtype = "float64" }]\n')
    gate = run("pit-align", "gate", report, "--config", config, "-q")
    assert (gate.exit_code, gate.output) == (1, "")
    shown = run("pit-align", "report", report, report, "-q")
    assert (shown.exit_code, shown.output) == (0, "")
    written = run("pit-align", "gate", report, "--init", "--config", tmp_path / "new.toml", "--json")
    assert json.loads(written.output) == {"written": str(tmp_path / "new.toml"), "reports": 1, "thresholds": 0}


def test_verbose_names_every_tensor(source: Path, tmp_path: Path) -> None:
    inspected = run("pit-port", "inspect", source, "-v").stdout
    assert re.search(r"^  head\.weight +float32  \(10, 96\)$", inspected, re.M)
    contents = json.loads(run("pit-port", "inspect", source, "-v", "--json").stdout)["contents"]
    assert contents["head.bias"]["dtype"] == "float32"
    assert "contents" not in json.loads(run("pit-port", "inspect", source, "--json").stdout)
    converted = run("pit-port", "convert", source, tmp_path / "a.pdparams", "-v").stdout
    assert "  transposed: transformers.0.blocks.1.attn.proj.weight\n" in converted
    planned = run("pit-port", "plan", source, "--to", "timm", "-v").stdout
    assert "{" not in planned
    assert "transformers.0.blocks.1.attn.proj.weight" in planned
    other = tmp_path / "b.pth"
    write_random(build("pit_micro"), other, seed=1)
    few, all_of_them = (run("pit-port", "diff", source, other, *words).stdout for words in ((), ("-v",)))
    assert "more; -v names all" in few
    assert len(all_of_them.splitlines()) == 1 + int(re.findall(r"different: (\d+) of", few)[0])


@pytest.mark.parametrize("tool", TOOLS)
def test_version_names_frameworks_without_importing_them(tool: str) -> None:
    code = (
        f"import sys, cli\ncli.{tool.replace('-', '_')}.main(['--version'], {tool!r}, standalone_mode=False)\n"
        "print(sorted({'torch', 'timm', 'paddle', 'mindspore', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert re.fullmatch(rf"{tool} \d+\.\d+\.\d+, Python 3\.\d+\.\d+\S*, NumPy \d+\S*", lines[0])
    assert re.match(r"torch {6}torch \d+\.\d+.*, timm ", lines[1])
    assert re.match(r"paddle {5}paddlepaddle(-gpu)? 3\.", lines[2])
    assert lines[3].startswith("mindspore  ")
    assert lines[-1] == "[]"


HINTS = [
    ("pit-port", ("conver", "a", "b"), "unknown command 'conver'; did you mean convert?"),
    ("pit-align", ("doctr",), "unknown command 'doctr'; did you mean doctor?"),
    ("pit-train", ("evl",), "unknown command 'evl'; did you mean eval?"),
    ("pit-port", ("convert", "--modle", "x"), "--model"),
    ("pit-align", ("all", "--model", "pit_tii"), "unknown model 'pit_tii'; did you mean pit_ti?"),
    ("pit-align", ("matrix", "pit_tii"), "did you mean pit_ti?"),
    ("pit-align", ("matrix", "pit_ti", "--step", "forwrd"), "unknown step 'forwrd'; did you mean forward?"),
    ("pit-align", ("record", "fwd", "--backend", "torch", "--model", "pit_ti"), "unknown step 'fwd'; did you mean"),
    ("pit-align", ("record", "forward", "--backend", "torhc", "--model", "pit_ti"), "did you mean torch?"),
    ("pit-port", ("plan", "{source}", "--to", "tim"), "did you mean timm?"),
    ("pit-port", ("random", "pit_micr", "x.pth"), "did you mean pit_micro?"),
    ("pit-train", ("train", "--config", "pit_b_22"), "did you mean the shipped pit_b_224?"),
    ("pit-train", ("train", "--config", "pit_b_224", "data.pth=1"), "did you mean data.path?"),
]


@pytest.mark.parametrize(("tool", "words", "hint"), HINTS, ids=[" ".join(words[:3]) for _, words, _ in HINTS])
def test_unknown_name_is_refused_with_the_nearest(tool: str, words: tuple[str, ...], hint: str, source: Path) -> None:
    done = run(tool, *(word.format(source=source) for word in words))
    assert done.exit_code in (2, 3)
    assert hint in done.stderr
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("tool", TOOLS)
def test_completion_script_is_printed_for_every_shell(tool: str, shell: str) -> None:
    variable = f"_{tool.replace('-', '_').upper()}_COMPLETE"
    done = subprocess.run(program(tool, **{variable: f"{shell}_source"}), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{variable}={shell}_complete" in done.stdout


COMPLETIONS = [
    ("pit-port con", {"plain,convert"}),
    ("pit-port random pit_b", {f"plain,{name}" for name in NAMES if name.startswith("pit_b")}),
    ("pit-port convert a.pth b.pth --to ", {f"plain,{name}" for name in layout_names()}),
    ("pit-port inspect pit", {"file,pit"}),
    ("pit-align forward --model deit_ti", {f"plain,{name}" for name in NAMES if name.startswith("deit_ti")}),
    ("pit-align doctor --candidate pad", {"plain,paddle"}),
]


@pytest.mark.parametrize(("line", "expected"), COMPLETIONS, ids=[line for line, _ in COMPLETIONS])
def test_arguments_are_completed(line: str, expected: set[str]) -> None:
    tool = line.split()[0]
    variables = {f"_{tool.replace('-', '_').upper()}_COMPLETE": "bash_complete", "COMP_WORDS": line}
    variables["COMP_CWORD"] = str(len(line.split()) - (not line.endswith(" ")))
    done = subprocess.run(program(tool, **variables), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == expected


def in_terminal(words: list[str]) -> str:
    """What a program prints on both its outputs where these are a terminal."""
    primary, secondary = pty.openpty()
    with subprocess.Popen(words, stdout=secondary, stderr=secondary, stdin=secondary) as process:
        os.close(secondary)
        shown = b""
        while True:
            try:
                piece = os.read(primary, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not piece:
                break
            shown += piece
        os.close(primary)
        assert process.wait() == 0, shown.decode()
    return shown.decode()


def test_colours_are_printed_only_where_they_are_wanted(report: Path) -> None:
    words = "pit-align", "report", report
    assert "\x1b[" in in_terminal(program(*words, TERM="xterm-256color", NO_COLOR=""))
    plain = in_terminal(program(*words, TERM="xterm-256color", NO_COLOR="1"))
    assert "SAME FUNCTION" in plain
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain)
    piped = subprocess.run(program(*words), capture_output=True, text=True, check=True)
    assert "\x1b[" not in piped.stdout


@pytest.mark.parametrize("words", [("convert", "{a}", "{b}", "--force"), ("inspect", "{a}"), ("diff", "{a}", "{a}")])
def test_every_tensor_counts_as_progress(
    words: tuple[str, ...], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[tuple[str, int]] = []

    @contextmanager
    def showing(*, quiet: bool) -> Iterator[Callable[[str, int], None]]:
        yield lambda name, nbytes: reported.append((name, nbytes))

    monkeypatch.setattr("porting.terminal.output.showing_tensors", showing)
    done = run("pit-port", *(word.format(a=source, b=tmp_path / "b.pdparams") for word in words))
    assert done.exit_code == 0, done.output
    architecture = build("pit_micro")
    assert {name for name, _ in reported} == set(architecture.tensors)
    assert sum(nbytes for _, nbytes in reported) == 4 * architecture.parameters


_SLOW = """
import sys, time
import porting.terminal.progress
porting.terminal.progress.SHOWN_AFTER = 0.0
from porting.terminal.output import Output
output = Output(quiet="-q" in sys.argv)
with output.tensors() as progress:
    progress("a tensor", 1000)
    time.sleep(0.3)
with output.waiting("asking around"):
    time.sleep(0.3)
with output.sides() as progress:
    progress("torch", "loading", 1, 8)
    time.sleep(0.3)
print("done")
"""


def slow(*words: str) -> list[str]:
    return ["env", f"PYTHONPATH={ROOT}", "TERM=xterm", sys.executable, "-c", _SLOW, *words]


def test_progress_on_a_terminal_is_a_bar() -> None:
    shown = in_terminal(slow())
    for words in ("a tensor", "1.0/? kB", "asking around", "loading", "1/8"):
        assert words in shown
    assert in_terminal(slow("-q")).split() == ["done"]


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}], ids=str)
def test_progress_in_a_log_has_no_bars(variables: dict[str, str]) -> None:
    done = subprocess.run(slow(), env=os.environ | variables, capture_output=True, text=True, check=True)
    assert done.stderr == "torch: loading (1/8)\n"
    quiet = subprocess.run(slow("-q"), env=os.environ | variables, capture_output=True, text=True, check=True)
    assert quiet.stderr == ""


def test_documented_completion_command_is_the_real_one() -> None:
    text = (ROOT / "docs" / "install.md").read_text()
    documented = set(re.findall(r"(_PIT_\w+)=(\w+)_source (pit-\w+)", text))
    assert {tool for _, _, tool in documented} == set(TOOLS)
    assert {shell for _, shell, _ in documented} == {"bash", "zsh", "fish"}
    assert all(variable == f"_{tool.replace('-', '_').upper()}_COMPLETE" for variable, _, tool in documented)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("the moon is full"), "was not expected (RuntimeError: the moon is full); --debug shows where"),
        (MemoryError(), "needs more memory than there is"),
    ],
)
def test_unexpected_error_exits_3_not_1(
    source: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("porting.describe.describe", broken)
    done = run("pit-port", "inspect", source)
    assert (done.exit_code, done.stdout) == (3, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert run("pit-port", "--debug", "inspect", source).exception is error


TALKER = """
import click
from porting.terminal.output import Output
from porting.terminal.tool import Tool, tool_options

@click.group(cls=Tool)
@tool_options
def tool(debug): pass

@tool.command()
@click.argument("how")
def say(how):
    write = Output().console().print if how == "rich" else click.echo
    for _ in range(20_000):
        write("words " * 10)

tool()
"""


@pytest.mark.parametrize("how", ["rich", "plain"])
def test_closed_output_pipe_exits_3_not_1(how: str) -> None:
    """`pit-align all ... | head -2` under `pipefail`."""
    words = [sys.executable, "-c", TALKER, "say", how]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("words words")
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (3, "")
