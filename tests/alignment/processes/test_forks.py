"""Processes that are forked from one that has imported what they need."""

import os
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from alignment.processes import forks
from alignment.processes.processes import Launch, run_all
from alignment.processes.settings import Settings

MakeLaunch: TypeAlias = Callable[..., Launch]

TELL = """
    import os, random
    import numpy
    from alignment.processes.serving import serve

    def main(arguments):
        words = (os.getppid(), os.getpgid(0) == os.getpid(), os.getcwd(), os.environ.get("SHOWN", ""), random.random(),
                 numpy.random.rand(), *arguments)
        return serve(lambda advance: [advance(str(word), 1, 1) for word in words])
"""
"""A worker that tells its parent's process id, whether it leads a group, its folder, a variable and random numbers."""


@pytest.fixture
def launch(tmp_path: Path) -> MakeLaunch:
    """A worker of the source above that needs a module of the given source."""

    def make(imported: str, *arguments: str) -> Launch:
        (tmp_path / "fake_worker.py").write_text(textwrap.dedent(TELL))
        (tmp_path / "fake_framework.py").write_text(textwrap.dedent(imported))
        return Launch(
            name="side",
            python=sys.executable,
            module="fake_worker",
            arguments=arguments,
            log=tmp_path / "side.log",
            environment={"PYTHONPATH": os.pathsep.join((str(tmp_path), str(Path(__file__).parents[3])))},
            imports="fake_framework",
        )

    return make


def told(launch: Launch) -> list[str]:
    words: list[str] = []
    run_all([launch], lambda _, what, *counts: words.append(what))
    return words


def test_forks_of_one_server_differ_in_nothing_but_chance(launch: MakeLaunch) -> None:
    first, second = told(launch("", "a")), told(launch("", "a"))
    assert first[0] == second[0] != str(os.getpid())
    assert first[1:4] == second[1:4] == ["True", str(Path.cwd()), ""]
    assert first[4] != second[4]
    assert first[5] != second[5]
    assert first[6:] == second[6:] == ["a"]


def test_framework_is_imported_once_for_many_workers(launch: MakeLaunch, tmp_path: Path) -> None:
    imports = tmp_path / "imports"
    imported = f"open({str(imports)!r}, 'a').write('once ')"
    for _ in range(3):
        told(launch(imported))
    assert imports.read_text() == "once "


def test_fork_runs_in_the_folder_and_with_the_variables_of_its_launch(
    launch: MakeLaunch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(launch(""))
    monkeypatch.chdir(tmp_path)
    shown = launch("")
    words = told(replace(shown, environment={**shown.environment, "SHOWN": "yes"}))
    assert words[2:4] == [str(tmp_path), "yes"]


@pytest.mark.parametrize(
    "imported",
    [
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "raise ImportError('nothing of that name')",
        "import os; os._exit(1)",
    ],
    ids=["starts a thread", "cannot be imported", "ends the process"],
)
def test_what_cannot_be_forked_is_started_by_itself(imported: str, launch: MakeLaunch) -> None:
    assert told(launch(imported))[0] == str(os.getpid())


def test_worker_is_started_anew_after_its_server_was_killed(launch: MakeLaunch) -> None:
    server = int(told(launch(""))[0])
    os.kill(server, 9)
    assert told(launch(""))[0] == str(os.getpid())


def test_no_more_servers_than_allowed_are_kept(launch: MakeLaunch) -> None:
    for number in range(forks._MOST + 2):
        one = launch("")
        told(replace(one, environment={**one.environment, "SHOWN": str(number)}))
    assert len(forks._servers) == forks._MOST


def test_workers_of_a_gpu_are_not_forked() -> None:
    assert Settings(device="gpu").imports("torch") == ""
    assert Settings().imports("torch") == "alignment.backends.torch"
