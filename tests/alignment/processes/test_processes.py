"""Processes that fail, are interrupted or lose their parent, played by small modules instead of frameworks."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from alignment.endings import how_it_ended, memory_kills
from alignment.errors import AlignmentError
from alignment.processes.processes import Launch, run_all

MakeLaunch: TypeAlias = Callable[..., Launch]

WAIT = """
    import os, threading
    from alignment.processes.serving import _claim_stdout, _die_with_parent

    def main(arguments):
        report = _claim_stdout()
        _die_with_parent()
        report({"event": "progress", "what": str(os.getpid()), "done": 1, "total": 2})
        threading.Event().wait()
"""


@pytest.fixture(params=["", "alignment.processes.serving"], ids=["started", "forked"])
def launch(tmp_path: Path, request: pytest.FixtureRequest) -> MakeLaunch:
    imports: str = request.param

    def make(name: str, source: str, *arguments: str) -> Launch:
        (tmp_path / f"fake_{name}.py").write_text(textwrap.dedent(source))
        return Launch(
            name=name,
            python=sys.executable,
            module=f"fake_{name}",
            arguments=arguments,
            log=tmp_path / f"{name}.log",
            environment={"PYTHONPATH": os.pathsep.join((str(tmp_path), str(Path(__file__).parents[3])))},
            imports=imports,
        )

    return make


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def error_of(launches: Sequence[Launch]) -> AlignmentError:
    with pytest.raises(AlignmentError) as caught:
        run_all(launches)
    return caught.value


def test_progress_is_passed_on_and_other_output_is_not(launch: MakeLaunch) -> None:
    source = """
        from alignment.processes.serving import _claim_stdout

        def main(arguments):
            print("not JSON")
            print("[1]")
            report = _claim_stdout()
            print("noise of a framework")
            report({"event": "progress", "what": arguments[0], "done": 1, "total": 2})
            report({"event": "done"})
            return 0
    """
    seen: list[tuple[str, str, int, int]] = []
    noisy = launch("noisy", source, "built")
    run_all([noisy], lambda *event: seen.append(event))
    assert seen == [("noisy", "built", 1, 2)]
    assert "noise of a framework" in noisy.log.read_text()


def test_exception_is_reported_with_the_end_of_the_log(launch: MakeLaunch) -> None:
    error = error_of([launch("bad", "def main(arguments): raise ValueError('of no use')")])
    assert "the bad side failed: it ended with exit code 1" in error.summary
    assert "bad.log" in error.summary
    assert error.details[-1] == "ValueError: of no use"


def test_only_the_tail_of_a_long_log_is_reported(launch: MakeLaunch) -> None:
    source = """
        import sys
        def main(arguments):
            for line in range(500): print("line", line, file=sys.stderr)
            return 3
    """
    error = error_of([launch("chatty", source)])
    assert len(error.details) == 4
    assert error.details[-1] == "line 499"


def test_a_segmentation_fault_is_named(launch: MakeLaunch) -> None:
    source = """
        import ctypes, sys
        def main(arguments):
            print("before the crash", file=sys.stderr, flush=True)
            ctypes.string_at(0)
    """
    error = error_of([launch("crash", source)])
    assert "it was ended by SIGSEGV" in error.summary
    assert "before the crash" in error.details


def test_a_process_that_is_killed_may_have_run_out_of_memory(launch: MakeLaunch) -> None:
    error = error_of([launch("killed", "import os\ndef main(arguments): os.kill(os.getpid(), 9)")])
    assert "it was ended by SIGKILL, perhaps out of memory" in error.summary


def test_processes_that_the_system_ended_for_memory_are_counted(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    assert memory_kills(counters) == 0
    counters.write_text("pgfault 12\noom_kill 3\n")
    assert memory_kills(counters) == 3
    assert "for lack of memory: a smaller batch" in how_it_ended(-signal.SIGKILL, for_memory=True)
    assert "perhaps out of memory" in how_it_ended(-signal.SIGKILL, for_memory=False)


def test_an_exit_before_the_work_is_done_is_no_success(launch: MakeLaunch) -> None:
    error = error_of([launch("early", "import os\ndef main(arguments): os._exit(5)")])
    assert "it ended with exit code 5, before it was done" in error.summary


def test_worker_that_exits_0_without_its_report_has_failed(launch: MakeLaunch) -> None:
    error = error_of([launch("silent", "def main(arguments): return 0")])
    assert "the silent side failed: it ended with exit code 0, before it was done" in error.summary


def test_the_failure_of_one_ends_the_other(launch: MakeLaunch) -> None:
    pids: list[int] = []
    failing = """
        import sys
        def main(arguments):
            with open(arguments[0]) as gate: gate.read()
            return 3
    """
    gate = launch("unused", "").log.with_name("gate")
    os.mkfifo(gate)

    def progress(_: str, pid: str, *counts: int) -> None:
        pids.append(int(pid))
        gate.open("w").close()

    with pytest.raises(AlignmentError, match="the failing side failed"):
        run_all([launch("waiting", WAIT), launch("failing", failing, str(gate))], progress)
    assert pids
    assert not any(map(is_running, pids))


def test_an_interrupt_ends_all(launch: MakeLaunch) -> None:
    pids: list[int] = []

    def progress(_: str, pid: str, *counts: int) -> None:
        pids.append(int(pid))
        if len(pids) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all([launch("left", WAIT), launch("right", WAIT)], progress)
    assert len(pids) == 2
    assert not any(map(is_running, pids))


def test_a_worker_does_not_outlive_a_parent_that_is_killed(launch: MakeLaunch, tmp_path: Path) -> None:
    """The worker holds a pipe open for writing: reading it ends when the worker does."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    source = WAIT.replace("report = ", "held = open(arguments[0], 'w')\n        report = ")
    waiting = launch("waiting", source, str(pipe))
    parent = f"""
        import os
        from pathlib import Path
        from alignment.processes.processes import Launch, run_all
        fields = {json.dumps({name: getattr(waiting, name) for name in ("name", "python", "module", "imports")})}
        run_all(
            [Launch(**fields, arguments=({str(pipe)!r},), log=Path({str(waiting.log)!r}), environment={{}})],
            lambda *event: os.kill(os.getpid(), 9),
        )
    """
    environment = {**os.environ, "PYTHONPATH": str(waiting.environment["PYTHONPATH"])}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(parent)], env=environment)
    with pipe.open() as stream:
        assert stream.read() == ""
    assert process.wait() == -9
