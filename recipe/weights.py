"""The weights that a run and its teacher start from: checkpoints of any format and layout, fitted to a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from porting import architectures
from porting.checkpoint import Checkpoint, LazyTensor, open_checkpoint
from porting.checkpoint.addresses import as_source
from porting.conversion import Port, fitting, identify_checkpoint, plan_port
from porting.converters import specs_in
from porting.names import fold
from porting.surgery import Surgery
from recipe.config import Config, Model
from recipe.errors import ConfigError, TrainingError
from recipe.loading import Loaded

_DISTILLED = "_distilled"


Net = TypeVar("Net")


@dataclass(frozen=True)
class Start(Generic[Net]):
    """A framework's model with its first weights.

    Attributes:
        model: Model in training mode.
        notes: What was read and what was changed, one line each; empty for a fresh model.
        fresh: Names of the tensors that were drawn, not read.
    """

    model: Net
    notes: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint, as a model takes them.

    Attributes:
        tensors: By name in the model's layout; they can be loaded while the checkpoint is open.
        fresh: Names of the tensors that the checkpoint lacks: they keep the model's random values.
        notes: What was read and what was changed on the way, one line for each.
    """

    tensors: Mapping[str, LazyTensor]
    fresh: tuple[str, ...]
    notes: tuple[str, ...]


@contextmanager
def open_weights(source: str, model: Model, layout: str) -> Iterator[Weights]:
    """Open a checkpoint for a model.

    A position embedding of another image size is resized; heads of another class count are left out.

    Args:
        source: A path, or an address on the hub.
        model: Name, image size and class count.
        layout: The layout of the model's state dict.

    Raises:
        TrainingError: The checkpoint holds another model.
        CheckpointError: The checkpoint cannot be read, or holds no model.
        HubError: The checkpoint cannot be fetched.
    """
    with open_checkpoint(as_source(source)) as opened:
        checkpoint = fitting(opened)
        port = _planned(checkpoint, model, layout)
        wanted = architectures.build(model.name, image_size=model.image_size, num_classes=model.num_classes)
        fresh = tuple(name for name in specs_in(wanted, layout) if name not in port.plan.specs)
        yield Weights(port.plan.apply(checkpoint.tensors), fresh, tuple(_notes(checkpoint, port, fresh)))


@contextmanager
def open_teacher(config: Config, layout: str) -> Iterator[Weights]:
    """Open the checkpoint of a configuration's teacher.

    Raises:
        TrainingError: The configuration names none, or it holds another model or other classes than the student.
        CheckpointError: The checkpoint cannot be read, or holds no model.
        HubError: The checkpoint cannot be fetched.
    """
    source = config.distillation.weights
    if source is None:
        raise TrainingError("a teacher needs a checkpoint: give distillation.weights")
    with open_weights(source, teacher_of(config), layout) as weights:
        if weights.fresh:
            raise TrainingError(
                f"{source}: the teacher has not the {config.model.num_classes} classes of the model: "
                "give one that was trained on them, or set distillation.kind=none"
            )
        yield weights


def require_teacher(source: str) -> None:
    """Raise the error of a teacher's checkpoint that is not there, before anything else is prepared.

    Raises:
        TrainingError: There is no such file or folder; addresses on the hub are not looked up.
    """
    if isinstance(as_source(source), Path) and not Path(source).exists():
        raise TrainingError(
            f"{source}: there is no such checkpoint of a teacher; give distillation.weights (-teacher_model, "
            "-teacher_model_path), or train without one by distillation.kind=none"
        )


def to_evaluate(loaded: Loaded) -> tuple[Config, tuple[str, ...]]:
    """Return the configuration to evaluate with, and what was decided about it.

    A file of another project may name the weights to evaluate as those to resume. Its model may be the plain or the
    distilled one of a pair without saying so; the weights then decide.

    Raises:
        CheckpointError: The weights cannot be read.
        HubError: They cannot be fetched.
    """
    config, model = loaded.config, loaded.config.model
    if model.weights is None and loaded.resume:
        model = replace(model, weights=loaded.resume)
    if loaded.dialect is None or model.weights is None:
        return replace(config, model=model), ()
    with open_checkpoint(as_source(model.weights)) as opened:
        held = identify_checkpoint(fitting(opened)).architecture.name
    twins = {model.name, held}
    if twins != {plain := held.removesuffix(_DISTILLED), f"{plain}{_DISTILLED}"}:
        return replace(config, model=model), ()
    note = f"{model.weights}: holds {held}, which is evaluated; the file alone would mean {model.name}"
    return replace(config, model=replace(model, name=held)), (note,)


def without_head(config: Config, fresh: Iterable[str]) -> ConfigError:
    """Return the error of weights to use as they are that lack the head for the classes of the configuration.

    Args:
        config: The configuration, which names the weights.
        fresh: Names of the tensors that the weights lack.

    Raises:
        CheckpointError: The weights cannot be read.
        HubError: They cannot be fetched.
    """
    source, lacking = str(config.model.weights), ", ".join(fold(fresh))
    with open_checkpoint(as_source(source)) as opened:
        held = identify_checkpoint(fitting(opened)).architecture.num_classes
    remedy = f"set model.num_classes={held}, or fine-tune first" if held else "fine-tune first"
    return ConfigError(
        f"{source}: has no {lacking} for {config.model.num_classes} classes, and random ones would be used; {remedy}"
    )


def teacher_of(config: Config) -> Model:
    """Return the teacher as a model of the student's image size and classes, without dropout."""
    return Model(config.distillation.teacher, config.model.image_size, config.model.num_classes, drop_path_rate=0.0)


def _planned(checkpoint: Checkpoint, model: Model, layout: str) -> Port:
    """Plan the port into the model's layout, without heads where their class count differs."""
    port = plan_port(checkpoint, layout)
    architecture = port.identity.architecture
    if architecture.name != model.name:
        hint = "; pit-port convert --drop-head-dist makes one of it"
        drop = hint if architecture.name == f"{model.name}_distilled" else ""
        raise TrainingError(f"{checkpoint.path}: holds {architecture.name}, expected {model.name}{drop}")
    surgery = Surgery(image_size=(model.image_size, model.image_size))
    if architecture.num_classes not in (model.num_classes, 0):
        surgery = replace(surgery, num_classes=0)
    return plan_port(checkpoint, layout, model=architecture.name, source_layout=port.identity.layout, surgery=surgery)


def _notes(checkpoint: Checkpoint, port: Port, fresh: tuple[str, ...]) -> Iterator[str]:
    architecture = port.identity.architecture
    average = ", the average of a training run" if checkpoint.weights == "ema" else ""
    unwrapped = f", unwrapped from {' / '.join(checkpoint.envelope)}" if checkpoint.envelope else ""
    yield f"{checkpoint.path}: {architecture.name} in layout {port.identity.layout}{average}{unwrapped}"
    yield from (f"{name}: {change}" for name, change in port.plan.changes.items())
    if fresh:
        had = f"{architecture.num_classes} classes" if architecture.num_classes else "no head"
        yield f"{', '.join(fold(fresh))}: drawn anew, since the checkpoint has {had}"
    yield from (f"{name}: {remark}" for name, remark in port.plan.remarks(checkpoint.tensors).items())
    yield from checkpoint.notes
