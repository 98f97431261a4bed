"""The commands `pit-port`, `pit-align` (in `alignment.commands`) and `pit-train`: words in, calls out, exit codes.

0 aligned or done, 1 diverged or different, 2 usage, 3 could not run, 5 nothing was compared. Data goes to stdout,
progress and logs to stderr. Everything heavy is imported by the command that needs it, so `--help` loads no framework.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alignment.commands import pit_align
from alignment.options import python_options, pythons_of
from porting.options import SOURCE, model_options, surgery_of, surgery_options, weights_option
from porting.tool import DIFFERENT, FILE, Tool, command_line, force_option, json_option, print_json, tool_options
from recipe.options import TrainTool, config_of, config_option, overrides_argument, split_words

if TYPE_CHECKING:
    from porting.checkpoint.envelope import Kind

__all__ = ["pit_align", "pit_port", "pit_train"]


@click.group(cls=Tool, context_settings={"help_option_names": ["-h", "--help"]})
@tool_options
def pit_port(debug: bool) -> None:
    """Move model weights between PyTorch, PaddlePaddle and MindSpore, in any published layout.

    \b
    pit-port convert pit_b.pth pit_b.pdparams
    pit-port inspect pit_b.pdparams
    pit-port diff pit_b.pth pit_b.pdparams
    """
    # NumPy only copies here: its linear algebra need not start a thread a core, which takes 20 ms of every command.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pit_port.command()
@click.argument("source", type=SOURCE)
@click.argument("target", type=FILE)
@model_options
@click.option("--to", "target_layout", metavar="LAYOUT", help="The target's layout; the usual one of its format.")
@click.option("--dtype", metavar="DTYPE", help="float64, float32, float16 or bfloat16; kept by default.")
@surgery_options
@click.option("--dry-run", is_flag=True, help="Check and report, write nothing.")
@click.option("--verify", "verifying", is_flag=True, help="Prove the port afterwards, as `pit-port verify` does.")
@python_options
@force_option
@json_option
def convert(
    source: Path | str,
    target: Path,
    model: str,
    source_layout: str | None,
    weights: Kind | None,
    target_layout: str | None,
    dtype: str | None,
    dry_run: bool,
    verifying: bool,
    force: bool,
    as_json: bool,
    **surgery: Any,
) -> None:
    """Port SOURCE into TARGET, whose suffix tells the format: .pth .pt .bin .pdparams .ckpt .safetensors .npz.

    \b
    pit-port convert pit_b_820.pth pit_b.pdparams
    pit-port convert pit_b.pdparams pit_b.pth --to timm
    pit-port convert deit_base.pth deit_base_384.pdparams --image-size 384 --num-classes 10
    pit-port convert hf://timm/pit_b_224.in1k pit_b.pdparams
    """
    from porting import convert as porting_convert
    from porting import render

    pythons = {f"{name}_python": surgery.pop(f"{name}_python") for name in ("torch", "paddle", "mindspore")}
    change = surgery_of(surgery)
    if verifying and (dry_run or dtype or any(surgery.values())):
        raise click.UsageError("--verify proves equal weights: leave out --dry-run, --dtype and changes to the model")
    report = porting_convert.convert(
        source,
        target,
        model=None if model == "auto" else model,
        source_layout=source_layout,
        weights=weights,
        target_layout=target_layout,
        dtype=dtype,
        surgery=change,
        dry_run=dry_run,
        overwrite=force,
    )
    print_json(render.convert_json(report)) if as_json else click.echo(render.convert_text(report))
    if verifying:
        _verify(source, target, weights, None, as_json, pythons)


@pit_port.command()
@click.argument("source", type=SOURCE)
@model_options
@click.option("--to", "target_layout", metavar="LAYOUT", required=True, help="The layout to plan for.")
@surgery_options
@json_option
def plan(
    source: Path | str,
    model: str,
    source_layout: str | None,
    weights: Kind | None,
    target_layout: str,
    as_json: bool,
    **surgery: Any,
) -> None:
    """Show which tensors of SOURCE become which of another layout, and how, for review; indices folded."""
    from porting import render
    from porting.checkpoint import open_checkpoint
    from porting.convert import plan_port

    named = None if model == "auto" else model
    with open_checkpoint(source, weights=weights) as checkpoint:
        port = plan_port(
            checkpoint, target_layout, model=named, source_layout=source_layout, surgery=surgery_of(surgery)
        )
    print_json(render.plan_json(port)) if as_json else click.echo(render.plan_text(port))


@pit_port.command()
@click.argument("source", type=SOURCE)
@click.argument("target", type=SOURCE)
@weights_option
@click.option("--out", type=FILE, help="Where the evidence goes; logs/<model>/ by default.")
@python_options
@json_option
def verify(
    source: Path | str, target: Path | str, weights: Kind | None, out: Path | None, as_json: bool, **given: Any
) -> None:
    """Prove that TARGET is the port of SOURCE: equal tensors, and equal outputs of the real models.

    SOURCE runs in torch, TARGET in the framework of its format, in float64 and float32. Exits 1 when they differ.

    \b
    pit-port verify pit_b.pth pit_b.pdparams
    pit-port verify pit_b.pth pit_b.ckpt --mindspore-python .venv-mindspore/bin/python
    """
    _verify(source, target, weights, out, as_json, given)


def _verify(
    source: Path | str,
    target: Path | str,
    weights: Kind | None,
    out: Path | None,
    as_json: bool,
    pythons: dict[str, Any],
) -> None:
    from alignment.report.progress import showing_progress
    from alignment.settings import Settings
    from alignment.verify import verify as verify_port

    settings = Settings(pythons=pythons_of(pythons))
    with showing_progress() as progress:
        result = verify_port(source, target, out, settings, weights=weights, progress=progress, command=command_line())
    print_json(result.to_json()) if as_json else click.echo(result.to_text())
    if not result.passed:
        raise SystemExit(DIFFERENT)


@pit_port.command()
@click.argument("file", type=SOURCE)
@weights_option
@json_option
def inspect(file: Path | str, weights: Kind | None, as_json: bool) -> None:
    """Say what checkpoint FILE is: format, model, layout, tensors, and a digest of its content.

    The digest is the same for the same weights, whatever format and layout they are in.
    """
    from porting import render
    from porting.describe import describe

    description = describe(file, weights=weights)
    print_json(render.describe_json(description)) if as_json else click.echo(render.describe_text(description))


@pit_port.command()
@click.argument("first", type=SOURCE)
@click.argument("second", type=SOURCE)
@weights_option
@json_option
def diff(first: Path | str, second: Path | str, weights: Kind | None, as_json: bool) -> None:
    """Compare the weights of two checkpoints, tensor by tensor, in canonical form.

    Exits 0 when every tensor is bit-equal and 1 when one is not, naming the worst.
    """
    from alignment.diff import diff as diff_checkpoints

    result = diff_checkpoints(first, second, weights=weights)
    print_json(result.to_json()) if as_json else click.echo(result.to_text())
    if not result.same:
        raise SystemExit(DIFFERENT)


@pit_port.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List the models and the layouts they can be read and written in."""
    from porting import render

    print_json(render.list_json()) if as_json else click.echo(render.list_text())


@pit_port.command()
@click.argument("model")
@click.argument("target", type=FILE)
@click.option("--to", "target_layout", metavar="LAYOUT", help="The target's layout; the usual one of its format.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--image-size", type=click.IntRange(min=1), help="Pixels; the published size by default.")
@click.option("--num-classes", type=click.IntRange(min=0), help="Columns of the head; the published count by default.")
@force_option
def random(
    model: str,
    target: Path,
    target_layout: str | None,
    seed: int,
    image_size: int | None,
    num_classes: int | None,
    force: bool,
) -> None:
    """Write random weights of MODEL in which every tensor matters, to try things out with.

    \b
    pit-port random pit_ti pit_ti.pth --seed 1
    """
    from porting.architectures import build
    from porting.convert import write_random

    architecture = build(model, image_size=image_size, num_classes=num_classes)
    written = write_random(architecture, target, layout=target_layout, seed=seed, overwrite=force)
    click.echo(f"{target}: {architecture.name}, {written.nbytes:,} bytes, random weights of seed {seed}")


@click.group(cls=TrainTool, context_settings={"help_option_names": ["-h", "--help"]})
@tool_options
def pit_train(debug: bool) -> None:
    """Train, evaluate and use the models in Paddle, by the published recipes.

    \b
    pit-train train --config pit_b_224 data.path=/data/imagenet run.output=logs/pit_b
    pit-train eval --config pit_b_224 data.path=/data/imagenet model.weights=pit_b.pth
    pit-train predict --weights pit_b.pth photograph.jpg
    python -m paddle.distributed.launch --gpus 0,1,2,3 "$(which pit-train)" train --config pit_b_224
    """
    # Paddle warns at every start that a compiler cache is missing, which matters to those who build extensions only.
    warnings.filterwarnings("ignore", message="No ccache found")


@pit_train.command()
@config_option()
@click.option("--resume", metavar="FILE|FOLDER|auto", help="Go on from a checkpoint, or from a run's folder.")
@click.option("--dry-run", is_flag=True, help="Print the whole configuration as YAML, and train nothing.")
@overrides_argument
def train(source: str, resume: str | None, dry_run: bool, overrides: tuple[str, ...]) -> None:
    """Train a model; SIGTERM saves and leaves, and --resume goes on bit by bit.

    \b
    pit-train train --config pit_ti_224 data.path=/data/imagenet
    pit-train train --config pit_b_distilled_224 distillation.weights=regnety_160.pth distillation.kind=hard
    pit-train train --config pit_b_224 model.weights=pit_b.pth model.num_classes=10 data.path=flowers
    """
    config = config_of(source, overrides)
    if dry_run:
        from recipe.loading import dump

        click.echo(dump(config), nl=False)
        return
    from paddle_impl.training.run import train as train_run

    raise SystemExit(train_run(config, resume=resume).exit_code)


@pit_train.command("eval")
@config_option()
@json_option
@overrides_argument
def evaluate(source: str, as_json: bool, overrides: tuple[str, ...]) -> None:
    """Evaluate model.weights on the validation images, each counted once.

    \b
    pit-train eval --config pit_b_224 model.weights=pit_b.pdparams data.path=/data/imagenet
    """
    from dataclasses import asdict

    from paddle_impl.training.run import evaluate as evaluate_run

    found = evaluate_run(config_of(source, overrides))
    if as_json:
        print_json(asdict(found))
    else:
        click.echo(
            f"top-1 {found.top1:.2%}  top-{found.k} {found.top5:.2%}  loss {found.loss:.4f}  {found.images} images"
        )


@pit_train.command()
@click.option("--weights", type=SOURCE, required=True, help="A checkpoint of any format and layout.")
@config_option(required=False)
@click.option("--classes", type=FILE, help="Names of the classes, one a line; those beside the weights by default.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(min=1), help="Classes to name of each image.")
@json_option
@click.argument("words", nargs=-1, required=True, metavar="IMAGE|FOLDER... [SECTION.KEY=VALUE]...")
def predict(
    weights: Path | str,
    source: str | None,
    classes: Path | None,
    top: int,
    as_json: bool,
    words: tuple[str, ...],
) -> None:
    """Classify images, or all images below folders.

    \b
    pit-train predict --weights pit_b.pth photograph.jpg --top 3
    pit-train predict --weights logs/train/best.pdparams photographs/ --json
    """
    from paddle_impl.training.predicting import Predictor, config_for, find_images, report
    from recipe.classes import read_classes
    from recipe.loading import override

    images, overrides = split_words(words)
    config = config_of(source, overrides) if source else override(config_for(weights), overrides)
    predictor = Predictor(config, weights, read_classes(classes) if classes else None)
    for note in predictor.notes:
        click.echo(note, err=True)
    for line in report(predictor(find_images(images), top), as_json=as_json):
        click.echo(line)
