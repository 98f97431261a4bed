"""Options of several commands: the two models, and how they are aligned; and the values that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.terminal.options import SOURCE, complete_models
from porting.terminal.tool import FILE, Command, options

if TYPE_CHECKING:
    from alignment.pair import Pair
    from alignment.processes.settings import Settings
    from alignment.training.run import Training


def candidate_option(text: str) -> Callable[[Command], Command]:
    """The option of the framework of the port."""
    choice = click.Choice(["paddle", "mindspore", "torch"])
    return click.option("--candidate", default="paddle", show_default=True, type=choice, help=text)


python_options = options(
    *(
        click.option(
            f"--{side.lower()}-python",
            metavar="PATH",
            envvar=f"PIT_{side.upper()}_PYTHON",
            help=f"Interpreter of the {side} side.",
        )
        for side in ("torch", "Paddle", "MindSpore")
    )
)
"""Interpreters that have the frameworks; by default the one that runs this."""


if TYPE_CHECKING:
    _PrecisionType = click.ParamType[tuple[str, ...]]
else:  # the type of click 8.1 takes no parameter
    _PrecisionType = click.ParamType


class Precisions(_PrecisionType):
    """Names of precisions, separated by commas; `both` stands for float32 and float64.

    Args:
        half: Whether half precision may be among them.
    """

    name = "precision"

    def __init__(self, *, half: bool) -> None:
        self._known = ("float32", "float64", *(("bfloat16", "float16") if half else ()))

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The values, as the help shows them."""
        del param, ctx
        return f"[{'|'.join((*self._known, 'both'))}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The precisions, each once."""
        if isinstance(value, tuple):
            return value
        names = dict.fromkeys(name.strip() for name in str(value).split(","))
        for name in names:
            if name not in (*self._known, "both"):
                known = ", ".join(self._known)
                self.fail(f"{name!r} is not one of {known} and both, or several of these with commas", param, ctx)
        return tuple(dict.fromkeys(one for name in names for one in (self._known[:2] if name == "both" else (name,))))


def dtype_option(default: str, *, half: bool = False) -> Callable[[Command], Command]:
    """The option of the precisions; `half` lets half precision be among them."""
    text = "Precisions, with commas between several" + ("; half precision is held against float64." if half else ".")
    return click.option("--dtype", default=default, show_default=True, type=Precisions(half=half), help=text)


size_options = options(
    click.option("--image-size", type=click.IntRange(min=1), help="Pixels; the published size by default."),
    click.option("--num-classes", type=click.IntRange(min=1), help="Columns of the head."),
)
"""The size of the models."""
trial_options = options(
    click.option("--batch-size", default=4, show_default=True, type=click.IntRange(min=1)),
    click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0)),
    click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "gpu"])),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads of each side."),
    click.option("--allow-tf32", is_flag=True, help="Let a GPU compute float32 in TensorFloat-32."),
    click.option("--nondeterministic", is_flag=True, help="Allow nondeterministic algorithms."),
    candidate_option("The framework that --model's port runs in."),
    python_options,
)
"""Batch, device, threads, exactness and interpreters of both sides."""
_model_options = options(
    click.option("--model", shell_complete=complete_models, help="A model that `pit-port list` names."),
    click.option("--pair", metavar="FILE[:NAME]", help="A pair declared in a Python file instead."),
    size_options,
    click.option("--weights", type=SOURCE, metavar="FILE", help="Checkpoint in any format, layout; random by default."),
    trial_options,
    click.option("--out", type=FILE, help="Where to write; logs/<model>/ by default."),
)
_inputs_option = click.option(
    "--inputs",
    type=FILE,
    help="Images (and labels), or the pair's named inputs: .npz, .npy or .safetensors; drawn by default.",
)
pair_options = options(_model_options, _inputs_option, dtype_option("both"))
"""The two models, their weights and inputs, and how to run them."""
step_options = options(_model_options, _inputs_option, dtype_option("both", half=True))
"""The same for the check points of models, which take half precision too."""
recipe_options = options(
    click.option("--config", metavar="NAME|FILE", help="The recipe; the shipped one of the model by default."),
    click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Settings over the recipe's."),
    click.option("--steps", "updates", type=click.IntRange(min=1), help="Updates to compare."),
    click.option("--data", type=FILE, metavar="DIR", help="Images: train/ and val/, or lists; made by default."),
    click.option("--teacher", type=FILE, help="The teacher's checkpoint, for distillation; random by default."),
)
"""The recipe of the check points of training, their images and number of updates."""
training_options = options(_model_options, _inputs_option, dtype_option("float64"), recipe_options)
"""The two models, their weights, recipe and images, and how to run them."""

candidate_weights_option = click.option(
    "--candidate-weights", type=FILE, help="The converted checkpoint to test; by default --weights is converted now."
)

without_option = click.option("--without", multiple=True, metavar="STEP", help="Leave this step out.")


def pair_of(values: dict[str, Any]) -> Pair:
    """The pair that the options name; they are taken out of the dict.

    Raises:
        UsageError: Neither or both of `--model` and `--pair` are given.
    """
    from alignment.pair import load_pair
    from alignment.pair.published import build

    model, declaration, size, classes = (values.pop(key) for key in ("model", "pair", "image_size", "num_classes"))
    candidate = values.pop("candidate")
    if model and declaration:
        raise click.UsageError("--model and --pair both name what is aligned: give one of them")
    if not (model or declaration):
        raise click.UsageError("nothing is named: give --model NAME (`pit-port list` has the names) or --pair FILE.py")
    if model and model.endswith(".py"):
        raise click.UsageError(f"--model takes the name of a published model; a file is --pair {model}")
    if declaration and (size or classes):
        raise click.UsageError("--image-size and --num-classes are for --model: a pair says its own")
    return (
        load_pair(declaration)
        if declaration
        else build(model, image_size=size, num_classes=classes, candidate=candidate)
    )


@contextmanager
def without_old_reports(out: Path | None, declaration: str | None) -> Iterator[None]:
    """Remove the reports of earlier runs if the pair cannot be loaded, so that no gate takes them for this run's.

    Args:
        out: Where the run would write. Without it, the reports in the folders of `logs/` whose command names the same
            declaration are meant.
        declaration: What `--pair` says.
    """
    try:
        yield
    except Exception:  # whatever ends the command: it is raised again
        for path in [out / "report.json"] if out else Path("logs").glob("*/report.json"):
            if path.is_file() and (out or (declaration and _names(path, declaration))):
                path.unlink()
        raise


def _names(path: Path, declaration: str) -> bool:
    """Whether the command in a report names this declaration."""
    import json

    try:
        command = json.loads(path.read_text(encoding="utf-8")).get("command", "")
    except (OSError, ValueError, AttributeError):
        return False
    return declaration in str(command).split()


def settings_of(steps: tuple[str, ...], values: dict[str, Any], without: tuple[str, ...] = ()) -> Settings:
    """The settings that the remaining options stand for; no steps stand for all but those `without`."""
    from alignment.processes.settings import Settings, chosen
    from alignment.steps import STEPS

    dtype = values.pop("dtype")
    left_out = chosen("step", without, STEPS) if without else ()
    return Settings(
        steps=steps or tuple(step for step in STEPS if step not in left_out),
        dtypes=dtype,
        pythons=pythons_of(values),
        deterministic=not values.pop("nondeterministic"),
        tf32=values.pop("allow_tf32"),
        **values,
    )


def training_of(steps: tuple[str, ...], values: dict[str, Any]) -> Training:
    """The check points of training and their recipe; the options are taken out of the dict. No steps stand for all."""
    from alignment.steps.training import TRAINING_STEPS
    from alignment.training.run import Training

    named = {name: values.pop(name) for name in ("config", "overrides", "updates", "data", "teacher")}
    return Training(steps=steps or tuple(TRAINING_STEPS), **named)


def pythons_of(values: dict[str, Any]) -> dict[str, str]:
    """Framework to interpreter, for those that are named; they are taken out of the dict."""
    named = {name: values.pop(f"{name}_python") for name in ("torch", "paddle", "mindspore")}
    return {name: path for name, path in named.items() if path}
