"""`pit-port` as its users run it: what it prints, what it exits with, and what is left on the disk."""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli
from porting.architectures import NAMES, build
from porting.checkpoint import open_checkpoint, write_checkpoint
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import write_random
from porting.converters import plan_between

ROOT = Path(__file__).parents[1]
SMALL = build("pit_ti", image_size=32, num_classes=3)


def pit_port(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_port, [str(word) for word in words], prog_name="pit-port")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "pit_ti.pth"
    write_random(SMALL, path)
    return path


def test_convert_reports_the_port(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "pit_ti.pdparams"
    done = pit_port("convert", source, target)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"Wrote {target} (pdparams, layout paddlevit)"
    assert "pit_ti at 32x32, 3 classes" in lines[1]
    assert f"{source} (torch-zip, layout canonical)" in lines[2]
    assert "160, " in done.stdout
    assert "51 Linear weights (attn.qkv, attn.proj, mlp.fc1, mlp.fc2, fc, head)" in done.stdout
    assert "read back" in lines[-2]
    assert lines[-1] == f"next: pit-port verify {source} {target}"


@pytest.mark.parametrize("suffix", ["pdparams", "safetensors", "npz", "pt", "ckpt"])
@pytest.mark.parametrize("layout", ["canonical", "timm", "timm-legacy", "paddlevit", "mindcv"])
def test_port_to_any_format_and_back_is_bit_equal(source: Path, tmp_path: Path, suffix: str, layout: str) -> None:
    middle, back = tmp_path / f"middle.{suffix}", tmp_path / "back.pth"
    assert pit_port("convert", source, middle, "--to", layout).exit_code == 0
    assert pit_port("convert", middle, back).exit_code == 0
    assert back.read_bytes() == source.read_bytes()
    same = pit_port("diff", source, middle)
    assert (same.exit_code, same.stdout) == (0, "same: all 160 tensors are bit-equal\n")


def test_mindspore_files_have_the_names_of_mindcv(source: Path, tmp_path: Path) -> None:
    target, back = tmp_path / "pit_ti.ckpt", tmp_path / "back.pth"
    done = pit_port("convert", source, target)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == f"Wrote {target} (mindspore, layout mindcv)"
    assert "208, " in done.stdout
    assert "transposed" not in done.stdout
    assert pit_port("convert", target, back).exit_code == 0
    assert back.read_bytes() == source.read_bytes()
    first, second = (json.loads(pit_port("inspect", path, "--json").stdout) for path in (source, target))
    assert (second["format"], second["layout"], second["model"]) == ("mindspore", "mindcv", "pit_ti")
    assert first["digest"] == second["digest"]


def test_read_only_mindspore_target_is_replaced_if_forced(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "pit_ti.ckpt"
    target.write_bytes(b"old")
    target.chmod(0o400)
    assert pit_port("convert", source, target).exit_code == 3
    assert pit_port("convert", source, target, "--force").exit_code == 0
    assert pit_port("diff", source, target).exit_code == 0


def test_distilled_pit_is_refused_in_layout_mindcv(tmp_path: Path) -> None:
    source, target = tmp_path / "pit.pth", tmp_path / "pit.ckpt"
    write_random(build("pit_ti_distilled", image_size=32, num_classes=3), source)
    done = pit_port("convert", source, target)
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr == (
        "pit-port: pit_ti_distilled has no layout mindcv: MindCV publishes no distilled PiT "
        "(--drop-head-dist makes a plain one); choose another (--to canonical, timm, timm-legacy, paddlevit)\n"
    )
    assert not target.exists()
    assert pit_port("convert", source, target, "--to", "canonical").exit_code == 0
    assert pit_port("diff", source, target).exit_code == 0
    assert pit_port("convert", source, target, "--force", "--drop-head-dist").exit_code == 0
    assert json.loads(pit_port("inspect", target, "--json").stdout)["layout"] == "mindcv"


def test_mindcv_weights_under_attribute_paths_are_refused_without_from(source: Path, tmp_path: Path) -> None:
    wrong, correct = tmp_path / "wrong.ckpt", tmp_path / "correct.ckpt"
    pit_port("convert", source, correct)
    to_correct = plan_between(SMALL, "mindcv-attributes", "mindcv")
    with open_checkpoint(correct) as checkpoint:
        named = {to_correct.sources_of(name)[0]: tensor for name, tensor in checkpoint.tensors.items()}
        write_checkpoint(wrong, named)
    done = pit_port("convert", wrong, tmp_path / "new.pth")
    assert done.exit_code == 3
    assert done.stderr == (
        f"pit-port: {wrong}: the tensors are pit_ti under the paths of MindCV's attributes (transformers.1.blocks.0.*) "
        "where the names of its parameters belong (0.blocks.1.blocks.0.*): MindSpore loads such a file without an "
        "error and leaves most of the model as it was. Give --from mindcv-attributes to read the file all the same\n"
    )
    assert pit_port("convert", wrong, tmp_path / "new.ckpt", "--from", "mindcv-attributes").exit_code == 0
    assert (tmp_path / "new.ckpt").read_bytes() == correct.read_bytes()
    assert pit_port("convert", source, tmp_path / "no.ckpt", "--to", "mindcv-attributes").exit_code == 2


@pytest.mark.parametrize(("layout", "expected"), [("timm", "pt"), ("paddlevit", "np"), ("mindcv", "ms")])
def test_safetensors_metadata_names_the_framework(source: Path, tmp_path: Path, layout: str, expected: str) -> None:
    target = tmp_path / "pit_ti.safetensors"
    assert pit_port("convert", source, target, "--to", layout).exit_code == 0
    with open_checkpoint(target) as checkpoint:
        assert checkpoint.metadata == {"format": expected}


def test_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.pdparams"
    done = pit_port("convert", source, target, "--dry-run", "--json")
    assert done.exit_code == 0
    assert not target.exists()
    report = json.loads(done.stdout)
    assert (report["model"], report["source_layout"], report["target_layout"]) == ("pit_ti", "canonical", "paddlevit")
    assert (report["tensors"], len(report["transposed"]), report["file_digest"]) == (160, 51, None)


def test_convert_with_dtype_casts_the_tensors(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "half.safetensors"
    done = pit_port("convert", source, target, "--dtype", "bfloat16")
    assert "bfloat16, cast from float32" in done.stdout
    with open_checkpoint(target) as checkpoint:
        assert {tensor.dtype.name for tensor in checkpoint.tensors.values()} == {"bfloat16"}


def test_value_too_large_for_the_dtype_is_refused(tmp_path: Path) -> None:
    source, target = tmp_path / "a.pth", tmp_path / "b.pth"
    write_random(SMALL, source)
    with open_checkpoint(source) as checkpoint:
        arrays = {name: np.array(tensor.load()) for name, tensor in checkpoint.tensors.items()}
    arrays["norm.bias"][3] = 1e5
    write_checkpoint(source, {name: LazyTensor.of(array) for name, array in arrays.items()}, overwrite=True)
    done = pit_port("convert", source, target, "--dtype", "float16")
    assert done.exit_code == 3
    assert "norm.bias: 100000.0 does not fit into float16; give a wider --dtype" in done.stderr
    assert not target.exists()


def test_inspect_prints_the_same_digest_in_every_format(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "b.pdparams"
    pit_port("convert", source, target)
    first, second = (json.loads(pit_port("inspect", path, "--json").stdout) for path in (source, target))
    assert first["digest"] == second["digest"]
    assert (first["format"], second["format"]) == ("torch-zip", "pdparams")
    assert (first["layout"], second["layout"]) == ("canonical", "paddlevit")
    assert first["parameters"] == second["parameters"] == SMALL.parameters
    assert (first["family"], first["model"], first["tensors"], first["dtypes"]) == (
        "pit",
        "pit_ti",
        160,
        {"float32": 160},
    )
    assert "pit_ti at 32x32, 3 classes" in pit_port("inspect", source).stdout


def test_inspect_of_an_unknown_model_prints_the_reason_and_exits_0(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    write_checkpoint(path, {"conv1.weight": LazyTensor.of(np.ones((2, 3), np.float32))})
    shown = pit_port("inspect", path)
    assert shown.exit_code == 0
    assert "not known: the tensors are not a known model (found 1: conv1.weight)" in shown.stdout
    described = json.loads(pit_port("inspect", path, "--json").stdout)
    assert (described["model"], described["layout"], described["parameters"]) == (None, None, 6)


def test_diff_of_different_files_exits_1_and_names_the_tensor(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    write_random(SMALL, other, seed=1)
    done = pit_port("diff", source, other)
    assert done.exit_code == 1
    assert done.stdout.startswith("different: 160 of 160 tensors\n  ")


def test_list_names_models_and_layouts() -> None:
    shown = pit_port("list").stdout
    assert "pit_b_distilled" in shown
    assert "73,764,840" in shown
    assert "timm-legacy  timm 0.4.7 to 0.8" in shown
    assert {model["model"] for model in json.loads(pit_port("list", "--json").stdout)} >= set(NAMES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{source}", "{out}.pth", "--model", "pit_tii"], "unknown model 'pit_tii'; did you mean pit_ti?"),
        (["{source}", "{out}.pth", "--to", "timn"], "did you mean timm?"),
        (["{source}", "{out}.pth", "--from", "paddlvit"], "did you mean paddlevit?"),
        (["{source}", "{out}.pth", "--dtype", "float23"], "unknown dtype 'float23'; did you mean float32?"),
        (["{source}", "{out}.onnx"], ".pdparams"),
        (["{source}"], "Missing argument 'TARGET'"),
    ],
)
def test_unknown_arguments_exit_2(source: Path, tmp_path: Path, words: list[str], message: str) -> None:
    done = pit_port("convert", *(word.format(source=source, out=tmp_path / "new") for word in words))
    assert done.exit_code == 2
    assert message in done.stderr
    assert not list(tmp_path.glob("new*"))


class _Attack:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch pwned",)


BAD_FILES = {
    "not a checkpoint": (b"just some text, long enough to be looked at", "is not a checkpoint"),
    "empty": (b"", "is empty"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 295\n", "Git LFS pointer"),
    "attack": (pickle.dumps({"w": _Attack()}, protocol=4), "nothing was executed"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES)
@pytest.mark.parametrize("command", ["convert", "inspect", "diff"])
def test_bad_files_exit_3_with_one_line(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad.pth"
    bad.write_bytes(content)
    others = {"convert": [tmp_path / "new.pdparams"], "inspect": [], "diff": [source]}[command]
    done = pit_port(command, bad, *others)
    assert done.exit_code == 3
    assert done.stderr.startswith(f"pit-port: {bad}: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.pth", "pit_ti.pth"]


def test_truncated_and_bit_flipped_files_are_refused(source: Path, tmp_path: Path) -> None:
    whole = source.read_bytes()
    damaged, target = tmp_path / "damaged.pth", tmp_path / "new.pdparams"
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (whole[: len(whole) // 2], whole[:-1], bytes(flipped)):
        damaged.write_bytes(content)
        done = pit_port("convert", damaged, target)
        assert done.exit_code == 3, done.output
        assert str(damaged) in done.stderr
        assert not target.exists()


def test_missing_tensor_and_wrong_model_are_named(source: Path, tmp_path: Path) -> None:
    with open_checkpoint(source) as checkpoint:
        tensors = {name: LazyTensor.of(np.array(tensor.load())) for name, tensor in checkpoint.tensors.items()}
    del tensors["norm.bias"]
    short = tmp_path / "short.pth"
    write_checkpoint(short, tensors)
    done = pit_port("convert", short, tmp_path / "new.pdparams")
    assert done.exit_code == 3
    assert done.stderr.splitlines()[0] == (f"pit-port: {short}: looks like pit_ti in layout canonical, with 1 mismatch")
    assert "missing: norm.bias" in done.stderr
    wrong = pit_port("convert", source, tmp_path / "new.pdparams", "--model", "pit_b")
    assert wrong.exit_code == 3
    assert "the tensors are pit_ti in layout canonical, not pit_b" in wrong.stderr


def test_existing_target_is_kept_unless_forced(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "old.pdparams"
    target.write_text("precious")
    done = pit_port("convert", source, target)
    assert done.exit_code == 3
    assert "--force" in done.stderr
    assert target.read_text() == "precious"
    assert pit_port("convert", source, target, "--force").exit_code == 0
    assert pit_port("diff", source, target).exit_code == 0


def test_interrupted_convert_leaves_no_file(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "old.pdparams"
    target.write_text("precious")
    calls = iter(range(10**6))

    def interrupt(array: LazyTensor) -> object:
        if next(calls) == 100:
            raise KeyboardInterrupt
        return original(array)

    original = LazyTensor.nbytes.fget  # type: ignore[attr-defined]  # a property of the class
    monkeypatch.setattr(LazyTensor, "nbytes", property(interrupt))
    done = pit_port("convert", source, target, "--force")
    assert done.exit_code == 3
    assert "interrupted" in done.stderr
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.pdparams", "pit_ti.pth"]


def test_convert_to_a_full_disk_keeps_the_old_target(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "old.pdparams"
    target.write_text("precious")
    limit = source.stat().st_size // 2
    done = subprocess.run(
        [sys.executable, "-c", "import cli; cli.pit_port()", "convert", str(source), str(target), "--force"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert str(target) in done.stderr
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.pdparams", "pit_ti.pth"]


def test_without_frameworks_files_are_converted(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.pdparams"
    code = (
        "import sys\n"
        "for name in ('torch', 'timm', 'paddle', 'mindspore', 'reprod_log'): sys.modules[name] = None\n"
        "import cli; cli.pit_port()"
    )
    subprocess.run([sys.executable, "-c", code, "convert", source, target], check=True, cwd=ROOT, capture_output=True)
    assert pit_port("diff", source, target).exit_code == 0


@pytest.mark.parametrize(("words", "code"), [(["list"], 0), (["inspect", "missing.pth"], 3), (["nonsense"], 2)])
def test_process_ends_with_its_exit_code_and_runs_exit_handlers(words: list[str], code: int) -> None:
    script = "import atexit, cli; atexit.register(lambda: print('last words')); cli.pit_port()"
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert done.stdout.endswith("last words\n")
    assert bool(done.stderr) == bool(code)


def test_closed_output_pipe_exits_3() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import cli; cli.pit_port()", "list"],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.parametrize(
    "words", [("--debug", "inspect", "FILE"), ("inspect", "--debug", "FILE"), ("inspect", "FILE", "--debug")]
)
def test_debug_shows_the_traceback(words: tuple[str, ...], tmp_path: Path) -> None:
    from porting.errors import CheckpointError

    done = pit_port(*(tmp_path / "none.pth" if word == "FILE" else word for word in words))
    assert isinstance(done.exception, CheckpointError)


def test_argument_after_two_dashes_is_no_option(tmp_path: Path) -> None:
    done = pit_port("inspect", "--", "--debug")
    assert done.exit_code == 3
    assert "--debug: there is no such file" in done.stderr
