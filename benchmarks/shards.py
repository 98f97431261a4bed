"""Times the conversion of a large checkpoint in shards against `cp`, and measures the memory that it takes.

The source is safetensors in bfloat16, with the names and shapes of a language model of the Llama kind: an embedding of
1 GB, a head of the same size, and as many layers as the size asks for. It becomes `.pdparams` shards, every Linear
weight transposed as Paddle stores it. Each run follows one of `cp` on the same source; the medians are shown. Both
begin with the source in the page cache, as far as it fits, and write files that are not there yet.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from porting.architectures.base import TensorSpec
from porting.checkpoint import LazyTensor, open_checkpoint, write_sharded
from porting.checkpoint.dtypes import dtype
from porting.plan import plan
from porting.rules import linear, rule

_WIDTH, _INNER, _KEYS, _WORDS = 4096, 14336, 1024, 128256
_LINEARS = {
    "self_attn.q_proj": (_WIDTH, _WIDTH),
    "self_attn.k_proj": (_KEYS, _WIDTH),
    "self_attn.v_proj": (_KEYS, _WIDTH),
    "self_attn.o_proj": (_WIDTH, _WIDTH),
    "mlp.gate_proj": (_INNER, _WIDTH),
    "mlp.up_proj": (_INNER, _WIDTH),
    "mlp.down_proj": (_WIDTH, _INNER),
}
_RULES = (
    rule("model.embed_tokens.weight", "model.embed_tokens.weight"),
    rule("model.norm.weight", "model.norm.weight"),
    rule("model.layers.{i}.{norm:input_layernorm|post_attention_layernorm}.weight", "model.layers.{i}.{norm}.weight"),
    *(linear(f"model.layers.{{i}}.{name}", f"model.layers.{{i}}.{name}")[0] for name in _LINEARS),
    linear("lm_head", "lm_head")[0],
)
_MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def shapes(gigabytes: float) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of every tensor of a model of about this size in bfloat16."""
    yield "model.embed_tokens.weight", (_WORDS, _WIDTH)
    layer = 2 * sum(rows * columns for rows, columns in _LINEARS.values())
    for index in range(max(1, round((gigabytes * 1e9 - 4 * _WORDS * _WIDTH) / layer))):
        yield from ((f"model.layers.{index}.{name}.weight", shape) for name, shape in _LINEARS.items())
        yield f"model.layers.{index}.input_layernorm.weight", (_WIDTH,)
        yield f"model.layers.{index}.post_attention_layernorm.weight", (_WIDTH,)
    yield "model.norm.weight", (_WIDTH,)
    yield "lm_head.weight", (_WORDS, _WIDTH)


def make(folder: Path, gigabytes: float, shard: str) -> Path:
    """Write a source and return its index."""
    random = np.random.default_rng(0).integers(0, 2**15, 1 << 24, np.uint16)

    def tensor(shape: tuple[int, ...]) -> LazyTensor:
        return LazyTensor(shape, dtype("bfloat16"), lambda: np.resize(random, shape).view(dtype("bfloat16")))

    tensors = {name: tensor(shape) for name, shape in shapes(gigabytes)}
    return write_sharded(folder / "model.safetensors", tensors, shard).path


def port(source: Path, target: Path, shard: str) -> None:
    """Convert the source into shards of the target's format."""
    with open_checkpoint(source) as checkpoint:
        specs = {name: TensorSpec(tensor.shape) for name, tensor in checkpoint.tensors.items()}
        tensors = plan(_RULES, specs).apply(checkpoint.tensors)
        write_sharded(target, tensors, shard, check=checkpoint.check, made_from=checkpoint.identity())


@click.command()
@click.option(
    "--gigabytes", default=8.0, show_default=True, help="Size of the model; the disk needs three times as much."
)
@click.option("--shard", default="2GB", show_default=True, help="Size of the shards on both sides.")
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--folder", type=click.Path(path_type=Path, exists=True), help="Where to work; removed is only what is new."
)
@click.option("--port", "ported", nargs=2, type=click.Path(path_type=Path), hidden=True)
def main(gigabytes: float, shard: str, runs: int, folder: Path | None, ported: tuple[Path, Path] | None) -> None:
    """Time the conversion of a large checkpoint in shards."""
    if ported:
        port(*ported, shard)
        return
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source = Path(scratch, "source")
        source.mkdir()
        index = make(source, gigabytes, shard)
        size = sum(path.stat().st_size for path in source.iterdir())
        click.echo(f"{size / 1e9:.2f} GB of bfloat16 in {len(list(source.iterdir())) - 1} shards")
        target = Path(scratch, "target")
        convert = [sys.executable, "-m", "benchmarks.shards", "--shard", shard, "--port", str(index)]
        samples = [
            (
                *_run(["cp", "-r", str(source), str(target)], target),
                *_run([*convert, str(target / "m.pdparams")], target),
            )
            for _ in range(runs)
        ]
    for cp, _, seconds, memory in samples:
        click.echo(f"cp {cp:.1f} s, conversion {seconds:.1f} s: {seconds / cp:.2f} x cp, peak RSS {memory:.0f} MB")
    ratio = statistics.median(seconds / cp for cp, _, seconds, _ in samples)
    click.echo(f"median: {ratio:.2f} x cp; most memory: {max(memory for *_, memory in samples):.0f} MB")


def _run(command: list[str], target: Path) -> tuple[float, float]:
    """Return wall seconds and megabytes of a command, and remove what it wrote."""
    if command[0] != "cp":
        target.mkdir()
    done = subprocess.run([sys.executable, "-c", _MEASURE, *command], check=True, stdout=subprocess.PIPE, text=True)
    for path in sorted(target.rglob("*"), reverse=True):
        path.unlink()
    target.rmdir()
    seconds, kilobytes = done.stdout.split()
    return float(seconds), float(kilobytes) / 1e3


if __name__ == "__main__":
    main()
