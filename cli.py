"""The commands `pit-port`, `pit-align` (in `alignment.cli.steps`) and `pit-train`.

Exit codes: 0 aligned or done, 1 diverged or different, 2 usage, 3 could not run, 5 nothing was compared. Results go to
stdout, progress and logs to stderr. Each command imports what is heavy itself, so that `--help` loads no framework.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alignment.cli.own_rules import own_options, own_rules, require_one_of
from alignment.cli.ports import command_to_verify, diff, inspect, show_plan, verify, verify_port
from porting.checkpoint.file.bus_errors import ending_in_order
from porting.exporting import exporting
from porting.terminal.again import again
from porting.terminal.commands import check_rules, list_models, random
from porting.terminal.next_commands import file_in
from porting.terminal.options import (
    SOURCE,
    complete_layouts,
    is_own,
    model_options,
    require_effect,
    require_verifiable,
    selection_of,
    settings_of,
    surgery_of,
    surgery_options,
    to_option,
)
from porting.terminal.output import Output, output_options
from porting.terminal.tool import (
    COULD_NOT_RUN,
    FILE,
    Tool,
    force_option,
    tool_options,
    uncollected,
)
from recipe.options import (
    Source,
    TrainTool,
    config_options,
    framework_option,
    overrides_argument,
    run_elsewhere,
    split_words,
)

if TYPE_CHECKING:
    from alignment.cli.steps import pit_align
    from recipe.loading import Loaded

__all__ = ["pit_align", "pit_port", "pit_train"]

if not TYPE_CHECKING:  # so that a port need not import the commands of the alignment
    __getattr__, __dir__ = exporting(__name__, {"pit_align": "alignment.cli.steps"})


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
    context = click.get_current_context()
    context.with_resource(uncollected())
    context.with_resource(ending_in_order("pit-port", COULD_NOT_RUN))


@pit_port.command()
@click.argument("source", type=SOURCE)
@click.argument("target", type=FILE)
@model_options
@to_option
@click.option("--dtype", metavar="DTYPE", help="float64, float32, float16 or bfloat16; kept by default.")
@surgery_options
@click.option(
    "--max-shard-size", metavar="SIZE", help="Write several files of up to 5GB, 500MB, 1GiB, ..., and an index of them."
)
@click.option(
    "--with-optimizer", is_flag=True, help="Take AdamW's state, the average and the epoch of a training run along."
)
@click.option(
    "--optimizer-setting",
    "optimizer_settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="lr, weight_decay, betas or eps of AdamW, where SOURCE does not say it.",
)
@own_options
@click.option("--unproven", is_flag=True, help="Write although the models give different outputs with the rules.")
@click.option("--dry-run", is_flag=True, help="Check and report, write nothing.")
@click.option("--verify", "verifying", is_flag=True, help="Verify the port afterwards, as `pit-port verify` does.")
@force_option
@output_options(verbose="Print every tensor that was changed, dropped or filled.")
def convert(
    source: Path | str,
    target: Path,
    model: str,
    source_layout: str | None,
    target_layout: str | None,
    dtype: str | None,
    max_shard_size: str | None,
    with_optimizer: bool,
    optimizer_settings: tuple[str, ...],
    unproven: bool,
    dry_run: bool,
    verifying: bool,
    force: bool,
    output: Output,
    **options: Any,
) -> None:
    """Convert SOURCE to TARGET, whose suffix sets the format: .pth .pt .bin .pdparams .ckpt .safetensors .npz.

    \b
    pit-port convert pit_b_820.pth pit_b.pdparams
    pit-port convert pit_b.pdparams pit_b.pth --to timm
    pit-port convert deit_base.pth deit_base_384.pdparams --image-size 384 --num-classes 10
    pit-port convert hf://timm/pit_b_224.in1k pit_b.pdparams
    pit-port convert bert.safetensors bert.pdparams --rules bert.json
    pit-port convert bert.safetensors bert.pdparams --pair my_pair.py
    pit-port convert checkpoint.pth run.pdparams --with-optimizer

    With --max-shard-size, TARGET is the file that the shards are parts of: out/model.safetensors becomes
    out/model-00001-of-00003.safetensors, ..., and out/model.safetensors.index.json.

    \b
    pit-port convert pit_b.pth out/model_state.pdparams --max-shard-size 100MB
    """
    from porting.conversion import check_files
    from porting.conversion import convert as port
    from porting.terminal import render

    is_own(options, model=model != "auto", to=target_layout)
    if verifying:
        require_verifiable(source_layout, options, changes=dry_run or dtype is not None)
    where = selection_of(options)
    require_one_of(options)
    require_effect(options, settings=bool(optimizer_settings) and not with_optimizer, unproven=unproven)
    if options["pair"] is not None:
        check_files(source, target, overwrite=force or dry_run, **where)
    own = own_rules(options, output)
    with output.tensors() as progress:
        report = port(
            source,
            target,
            model=None if model == "auto" else model,
            source_layout=source_layout,
            **where,
            target_layout=target_layout,
            dtype=dtype,
            surgery=surgery_of(options),
            rules=own.table,
            unproven=unproven,
            dry_run=dry_run,
            overwrite=force,
            max_shard_size=max_shard_size,
            with_optimizer=with_optimizer,
            optimizer_settings=settings_of(optimizer_settings),
            progress=progress,
        )
    if not (verifying and output.as_json):
        output.show(lambda: render.convert_text(report, verbose=output.verbose), lambda: render.convert_json(report))
    if not (verifying or dry_run):
        output.end(then=command_to_verify(report, own))
    if verifying:
        verify_port(source, report.target, where, None, output, own, converted=render.convert_json(report))


@pit_port.command()
@click.argument("source", type=SOURCE)
@model_options
@click.option(
    "--to",
    "target_layout",
    metavar="LAYOUT",
    shell_complete=complete_layouts,
    help="The layout to plan for; needed without --rules.",
)
@surgery_options
@own_options
@output_options(verbose="Print one line for every tensor, with nothing folded.")
def plan(
    source: Path | str,
    model: str,
    source_layout: str | None,
    target_layout: str | None,
    output: Output,
    **options: Any,
) -> None:
    """Show which tensors of SOURCE become which tensors of another layout, and how; indices are folded.

    \b
    pit-port plan pit_b.pth --to paddlevit
    pit-port plan hf://timm/pit_b_224.in1k --to canonical --num-classes 10 --json
    pit-port plan bert.safetensors --rules bert.json
    """
    from porting.checkpoint import open_checkpoint
    from porting.conversion import fitting, plan_port
    from porting.terminal.plan_table import table_json
    from porting.terminal.plans import plan_text

    if not is_own(options, model=model != "auto", to=target_layout) and target_layout is None:
        raise click.UsageError("Missing option '--to'.")
    where, own = selection_of(options), own_rules(options, output)
    if own.table is not None or target_layout is None:
        show_plan(source, own, source_layout, where, output)
        return
    named = None if model == "auto" else model
    with open_checkpoint(source, **where) as opened:
        checkpoint = fitting(opened, model=named, layout=source_layout)
        port = plan_port(
            checkpoint, target_layout, model=named, source_layout=source_layout, surgery=surgery_of(options)
        )
    output.show(lambda: plan_text(port, folded=not output.verbose, width=output.width), lambda: table_json(port.plan))
    output.end(then=again("convert", source, file_in(target_layout, source)))


for command in (verify, inspect, diff, check_rules, list_models, random):
    pit_port.add_command(command)


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
    # Paddle warns at every start that a compiler cache is missing, which matters only for building extensions.
    warnings.filterwarnings("ignore", message="No ccache found")


@pit_train.command()
@click.option("--resume", metavar="FILE|FOLDER|auto", help="Continue from a checkpoint, or from a run's folder.")
@click.option(
    "--last-epoch", type=click.IntRange(min=0), help="Epochs that the run to resume has done, if it does not say."
)
@click.option("--dry-run", is_flag=True, help="Print the whole configuration as YAML and train nothing.")
@framework_option
@overrides_argument
@config_options()
def train(
    source: Source,
    resume: str | None,
    last_epoch: int | None,
    dry_run: bool,
    framework: str,
    overrides: tuple[str, ...],
) -> None:
    """Train a model; SIGTERM saves and ends the run, and --resume continues it bit for bit.

    \b
    pit-train train --config pit_ti_224 data.path=/data/imagenet
    pit-train train --config pit_b_distilled_224 distillation.weights=regnety_160.pth distillation.kind=hard
    pit-train train --config pit_b_224 model.weights=pit_b.pth model.num_classes=10 data.path=flowers
    """
    loaded = source.load(overrides, training=True)
    if dry_run:
        from recipe.loading import dump

        click.echo(dump(loaded.config), nl=False)
    elif loaded.evaluate:
        click.echo("the file asks for an evaluation", err=True)
        _evaluate(loaded, Output(), framework)
    elif framework != "paddle":
        if last_epoch is not None:
            raise click.UsageError(f"--last-epoch is for Paddle's files; a checkpoint of {framework} knows its epoch")
        code = run_elsewhere(framework, "train", loaded, resume=resume or loaded.resume)
        if code == 0:
            _end_of_training(loaded, overrides, whole=True)
        raise SystemExit(code)
    else:
        from paddle_impl.training.run import train as train_run

        start, epochs = resume or loaded.resume, loaded.last_epoch if last_epoch is None else last_epoch
        result = train_run(loaded.config, resume=start, last_epoch=epochs)
        _end_of_training(loaded, overrides, whole=result.stopped is None)
        raise SystemExit(result.exit_code)


def _end_of_training(loaded: Loaded, overrides: tuple[str, ...], *, whole: bool) -> None:
    from recipe.endings import end_of_training

    end_of_training(loaded.config, overrides, whole=whole)


@pit_train.command("eval")
@output_options()
@framework_option
@overrides_argument
@config_options()
def evaluate(source: Source, output: Output, framework: str, overrides: tuple[str, ...]) -> None:
    """Evaluate model.weights on the validation images; every image counts once.

    \b
    pit-train eval --config pit_b_224 model.weights=pit_b.pdparams data.path=/data/imagenet
    """
    _evaluate(source.load(overrides, output.note), output, framework)


def _evaluate(loaded: Loaded, output: Output, framework: str) -> None:
    from dataclasses import asdict, replace

    from recipe.weights import to_evaluate

    config, notes = to_evaluate(loaded)
    for note in notes:
        output.note(note)
    if framework != "paddle":
        form = {"as_json": output.as_json, "quiet": output.quiet}
        raise SystemExit(run_elsewhere(framework, "eval", replace(loaded, config=config), **form))
    from paddle_impl.training.run import evaluate as evaluate_run

    with output.waiting("evaluating"):
        result = evaluate_run(config)
    summary = (
        f"top-1 {result.top1:.2%}  top-{result.k} {result.top5:.2%}  loss {result.loss:.4f}  {result.images} images"
    )
    output.show(lambda: summary, lambda: asdict(result))


@pit_train.command()
@click.option("--weights", type=SOURCE, required=True, help="A checkpoint of any format and layout.")
@click.option("--classes", type=FILE, help="Names of the classes, one a line; by default the file beside the weights.")
@click.option(
    "--top", default=5, show_default=True, type=click.IntRange(min=1), help="Classes to print for each image."
)
@output_options()
@framework_option
@click.argument("words", nargs=-1, required=True, metavar="IMAGE|FOLDER... [SECTION.KEY=VALUE]...")
@config_options(required=False)
def predict(
    weights: Path | str,
    source: Source,
    classes: Path | None,
    top: int,
    output: Output,
    framework: str,
    words: tuple[str, ...],
) -> None:
    """Classify images, or all images below folders; --json prints one object a line.

    \b
    pit-train predict --weights pit_b.pth photograph.jpg --top 3
    pit-train predict --weights logs/train/best.pdparams photographs/ --json
    """
    from recipe.classes import read_classes
    from recipe.loading import Loaded, override
    from recipe.predictions import config_for, find_images, report
    from recipe.weights import to_evaluate

    images, overrides = split_words(words)
    if source.config:
        config, notes = to_evaluate(source.load([*overrides, f"model.weights={weights}"], output.note))
        for note in notes:
            output.note(note)
    else:
        config = override(config_for(weights), overrides)
    if framework != "paddle":
        found = Loaded(override(config, [f"model.weights={weights}"]))
        form = {"as_json": output.as_json, "quiet": output.quiet, "top": top}
        names = str(classes) if classes else None
        files = tuple(map(str, find_images(images)))
        raise SystemExit(run_elsewhere(framework, "predict", found, images=files, classes=names, **form))
    from paddle_impl.training.predicting import Predictor

    predictor = Predictor(config, weights, read_classes(classes) if classes else None)
    for note in predictor.notes:
        output.note(note)
    for line in report(predictor(find_images(images), top), as_json=output.as_json):
        if output.as_json or not output.quiet:
            click.echo(line)
