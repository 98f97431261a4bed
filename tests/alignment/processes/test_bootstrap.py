"""How a module of this package starts in another environment."""

import json
import subprocess
import sys
from pathlib import Path

import alignment.processes

BOOTSTRAP = Path(alignment.processes.__file__).with_name("bootstrap.py")


def run(
    python: str, module: str, folder: Path, bootstrap: Path = BOOTSTRAP, place: str = "last"
) -> subprocess.CompletedProcess[str]:
    command = [python, str(bootstrap), place, module]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def probe(folder: Path, source: str) -> None:
    for package in ("alignment", "alignment/bisection", "alignment/processes"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
    (folder / "alignment" / "bisection" / "worker.py").write_text(source)
    (folder / "alignment" / "processes" / "bootstrap.py").write_text(BOOTSTRAP.read_text())


SHOW = "import sys\ndef main(arguments):\n    print(*sys.path, sep='\\n')\n    return 0\n"


def test_another_environment_searches_the_package_last_and_nothing_is_hidden(tmp_path: Path, bare_python: str) -> None:
    probe(tmp_path, SHOW)
    (tmp_path / "alignment" / "processes" / "json.py").write_text("raise SystemExit('hidden')")
    (tmp_path / "json.py").write_text("raise SystemExit('hidden')")
    done = run(
        bare_python, "alignment.bisection.worker", tmp_path, tmp_path / "alignment" / "processes" / "bootstrap.py"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path)
    assert str(tmp_path / "alignment" / "processes") not in done.stdout.splitlines()


def test_the_same_interpreter_runs_the_same_copy(tmp_path: Path) -> None:
    probe(tmp_path, SHOW)
    done = run(
        sys.executable,
        "alignment.bisection.worker",
        tmp_path,
        tmp_path / "alignment" / "processes" / "bootstrap.py",
        "first",
    )
    assert done.stdout.splitlines()[0] == str(tmp_path)


def test_installed_package_is_not_used_by_another_environment(tmp_path: Path, bare_python: str) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    probe(installed, "def main(arguments): return 0\n")
    done = run(
        bare_python, "alignment.bisection.worker", tmp_path, installed / "alignment" / "processes" / "bootstrap.py"
    )
    event = json.loads(done.stdout)
    assert done.returncode == 3
    assert "does not have pit-port" in event["summary"]
    assert "-m pip install pit-port" in event["summary"]


def test_a_missing_base_package_is_named(tmp_path: Path, bare_python: str) -> None:
    done = run(bare_python, "alignment.running.worker", tmp_path)
    assert done.returncode == 3
    assert "does not have numpy" in json.loads(done.stdout)["summary"]
