"""Small files: regular ones of a bounded size, and names that a file system takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from porting.plain_files import read_plain, read_plain_text, shortened


def test_text_of_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("größer", encoding="utf-8")
    assert read_plain_text(tmp_path / "a") == "größer"


def test_what_is_no_regular_file_or_too_large_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"12345")
    for path, problem in ((tmp_path / "fifo", "a FIFO"), (Path("/dev/zero"), "a device"), (tmp_path, "directory")):
        with pytest.raises(OSError, match=problem):
            read_plain(path)
    with pytest.raises(OSError, match="it has 5 bytes, at most 4 are read"):
        read_plain(tmp_path / "large", largest=4)


@pytest.mark.parametrize("name", ["a.pth", "模" * 80 + ".pth", "a\nb"])
def test_shortened_name_fits_and_is_text(name: str) -> None:
    assert name.startswith(shortened(name))
    assert len(shortened(name).encode()) <= 200


def test_target_of_a_long_name_is_written_and_shown_on_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source, long = "a\n::error::b\x1b[31m.pth", "模" * 80 + ".pdparams"
    made = CliRunner().invoke(cli.pit_port, ["random", "pit_micro", source])
    assert made.exit_code == 0, made.output
    done = CliRunner().invoke(cli.pit_port, ["convert", source, long])
    assert done.exit_code == 0, done.output
    assert (tmp_path / long).is_file()
    assert "\x1b" not in made.stdout + done.stdout
    assert not [line for line in (made.stdout + done.stdout).splitlines() if line.startswith("::")]
