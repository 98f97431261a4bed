"""`pit-port check-rules`, alone and as the hook that other repositories' pre-commit runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

import cli
from porting.checking import check_rules, check_shipped
from porting.operations import Split
from porting.rules import Rule, rule, same

ROOT = Path(__file__).parents[2]
HOOK: dict[str, Any] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())[0]
SOUND = """
import porting
from porting.architectures import TensorSpec
from porting.rules import affine, linear, table

TENSORS = {"stem.weight": (8, 3, 4, 4), "stem.bias": (8,), "layers.0.fc.weight": (4, 8), "layers.0.fc.bias": (4,)}
MODEL = porting.Architecture(
    "mine", "my_net", (32, 32), 4, {name: TensorSpec(shape) for name, shape in TENSORS.items()}
)
LAYOUT = table("mine", affine("stem", "conv1"), linear("layers.{layer}.fc", "blocks.{layer+1}.fc"), framework="paddle")
"""


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_port, ["check-rules", *map(str, words)], prog_name="pit-port")


def write(folder: Path, text: str = SOUND, name: str = "rules.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_shipped_tables_are_sound() -> None:
    results = list(check_shipped())
    assert {table.name for table in results} >= {"pit/canonical", "pit/mindcv", "regnet/mindcv-attributes"}
    assert all(table.models and not table.problems for table in results)


def test_correct_table_passes(tmp_path: Path) -> None:
    path = write(tmp_path)
    done = run(path)
    assert (done.exit_code, done.stdout) == (0, f"{path}:LAYOUT: sound; rules: 3, models: 1\n")
    assert json.loads(run(path, "--json").stdout)[0]["models"] == ["my_net"]
    assert "my_net" in run(path, "-v").stdout


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('affine("stem", "conv1"), ', "", "my_net: unexpected: stem.weight: no rule takes it"),
        ('"blocks.{layer+1}.fc"', '"conv1"', "every pattern must hold the same placeholders"),
        ("(4, 8)", "(4, 8, 1)", "my_net: wrong shape: layers.0.fc.weight"),
        ('affine("stem", "conv1"), ', 'affine("stem", "conv1"), affine("stem", "c"), ', "two rules take stem.weight"),
        ('affine("stem", "conv1")', 'affine("stem", "blocks.3.fc")', "two rules give blocks.3.fc.weight"),
    ],
)
def test_wrong_table_fails_with_the_problem(tmp_path: Path, before: str, after: str, problem: str) -> None:
    assert before in SOUND
    done = run(write(tmp_path, SOUND.replace(before, after)))
    assert done.exit_code in (1, 3)
    assert problem in done.stdout + done.stderr


def test_file_that_raises_is_reported_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "from porting.rules import rule\n\nBAD = rule('a.{x', 'b')\n")
    done = run(path)
    assert done.exit_code == 3
    assert done.stderr.startswith(f"pit-port: {path}:3: PatternError: ")
    assert "unbalanced braces" in done.stderr


def test_file_without_rules_exits_5(tmp_path: Path) -> None:
    done = run(write(tmp_path, "RULES = 3\n"))
    assert done.exit_code == 5
    assert "declares no rules" in done.stderr


def test_tuple_of_rules_without_a_model_is_checked_by_patterns_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "from porting.rules import same\nRULES = same('a.{i}', 'b')\n")
    assert run(path).stdout == f"{path}:RULES: sound; rules: 2, patterns alone, for want of an Architecture\n"


def test_any_object_with_rules_is_checked(tmp_path: Path) -> None:
    text = (
        "from types import SimpleNamespace\nfrom porting.rules import same\n"
        "PAIR = SimpleNamespace(rules=('auto', *same('a', 'a')))\nAUTOMATIC = SimpleNamespace(rules='auto')\n"
    )
    path = write(tmp_path, text, "my_pair.py")
    done = run(path)
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{path}:PAIR: WRONG; rules: 2, ")
    assert done.stdout.count("two rules") == 2
    assert "AUTOMATIC" not in done.stdout


@pytest.mark.parametrize(
    ("rules", "overlaps"),
    [
        ((rule("a.{i}", "x.{i}"), rule("a.7", "y")), ["two rules take a.7"]),
        ((rule("a.{i+3}", "x.{i}"), rule("a.2", "y")), []),
        ((rule("{i}.5", "x.{i}"), rule("9.{j}", "y.{j}")), ["two rules take 9.5"]),
        ((rule("a.{part:weight|bias}", "x.{part}"), rule("a.bias", "y")), ["two rules take a.bias"]),
        ((rule("a", ("q", "q"), Split(2)), rule("b", "c")), ["two rules give q"]),
        (same("a", "b"), []),
    ],
)
def test_rules_for_the_same_name_are_reported(rules: tuple[Rule, ...], overlaps: list[str]) -> None:
    problems = check_rules(rules)
    assert len(problems) == len(overlaps)
    assert all(line.startswith(start) for line, start in zip(problems, overlaps, strict=True))


def test_file_can_import_modules_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "NAME = 'neighbour'\n", "names_beside.py")
    path = write(tmp_path, "from names_beside import NAME\nfrom porting.rules import same\nRULES = same(NAME)\n")
    before = list(sys.path)
    assert run(path).exit_code == 0
    assert sys.path == before


def commit(folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the hook as pre-commit would, but in this environment: its own would be filled from the network."""
    (folder / ".pre-commit-config.yaml").write_text(
        yaml.safe_dump({"repos": [{"repo": "local", "hooks": [HOOK | {"language": "system"}]}]})
    )
    program = folder / "bin" / "pit-port"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'import cli; cli.pit_port()' \"$@\"\n")
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PRE_COMMIT_HOME": str(folder / "cache"),
    }
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all", "."], cwd=folder, check=True)
    words = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("code", ["raise SystemExit(0)", "import sys; sys.exit('done')"])
def test_file_that_exits_is_an_error(tmp_path: Path, code: str) -> None:
    done = run(write(tmp_path, f"{SOUND}\n{code}\n"))
    assert (done.exit_code, done.stdout) == (3, "")
    assert "SystemExit" in done.stderr


def test_output_of_the_file_is_kept_out_of_the_result(tmp_path: Path) -> None:
    done = run(write(tmp_path, f"{SOUND}\nprint('hello')\n"), "--json")
    assert json.loads(done.stdout)[0]["problems"] == []
    assert done.stderr == "hello\n"


def test_pre_commit_hook_checks_only_rule_files(tmp_path: Path) -> None:
    write(tmp_path, "raise SystemExit('not to be run')\n", "other.py")
    write(tmp_path, SOUND, "my_rules.py")
    done = commit(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule tables" in done.stdout
    assert "Passed" in done.stdout
    write(tmp_path, SOUND.replace('affine("stem", "conv1"), ', ""), "my_rules.py")
    broken = commit(tmp_path)
    assert broken.returncode == 1
    assert "no rule takes it" in broken.stdout


def test_pre_commit_accepts_the_manifest() -> None:
    words = [sys.executable, "-m", "pre_commit", "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml")]
    assert subprocess.run(words, check=False).returncode == 0
