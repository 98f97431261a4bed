"""Mistakes beside the model: in losses and metrics, as the self-test has them, and in what is done with an input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import numpy as np

from alignment.pair.feeds import Mask
from alignment.pair.inputs import Inputs
from alignment.power.mistakes import Mistake, Plant, Subject, Witness
from alignment.selftest.faults import KNOWN, Fault
from alignment.selftest.faults import functions as function_faults
from alignment.steps import Trial

_METHODS = ("loss", "top_classes", "accuracy")
_IGNORED = "first class ignored"
_NEEDS = {
    _IGNORED: "",
    "weighted": "labels of both halves of the classes",
    "worst": "samples whose losses differ",
    "labels shifted": "",
    "last left out": "a last sample that counts otherwise than the others",
    "labels reversed": "labels that differ",
    "rows rolled": "images whose best classes differ",
}
"""Those that the batch has to bring out, with what it needs; the others show on every batch and say nothing of it."""


def in_functions(subject: Subject) -> Iterator[Mistake]:
    """Yield the mistakes in losses and metrics of the steps that run."""
    for fault in KNOWN.values():
        if fault.place == "function" and fault.kind in _NEEDS and fault.step in subject.job.request.steps:
            needs = _about_classes(subject) if fault.kind == _IGNORED else _NEEDS[fault.kind]
            plant = partial(_planted, fault, subject)
            yield Mistake(fault.step, fault.path, fault.name, plant, needs=needs, first=fault.step)


def _planted(fault: Fault, subject: Subject, trial: Trial, stack: ExitStack, witness: Witness) -> Trial:
    """Plant a mistake into a method of the backend; the model is right, and need not run again."""
    backend = vars(trial.backend)
    before = {name: backend[name] for name in _METHODS if name in backend}

    def restore() -> None:
        for name in _METHODS:
            backend.pop(name, None)
        backend.update(before)

    stack.callback(restore)
    function_faults.inject(trial.backend, fault.kind, fault.path)
    witness.see()
    return replace(trial, computed=subject.trial.outputs)


def _about_classes(subject: Subject) -> str:
    labels = subject.trial.inputs.labels
    if 0 in labels:
        return ""
    return f"a label of class 0: class 0 is never a label, {len(np.unique(labels))} other classes are"


def in_inputs(subject: Subject) -> Iterator[Mistake]:
    """Yield that one of several inputs is ignored: zeros, or of a mask ones, stand in its place."""
    inputs = subject.trial.inputs
    for name, feed in subject.job.pair.inputs.items() if len(inputs.named) > 1 else ():
        is_mask = isinstance(feed, Mask)
        array = inputs.named[name]
        other = np.ones_like(array) if is_mask else np.zeros_like(array)
        needs = ""
        if np.array_equal(array, other):
            needs = "a row that it masks" if is_mask else "anything but zeros"
        ignored = replace(inputs, named={**inputs.named, name: other})
        if next(iter(inputs.named)) == name:
            ignored = replace(ignored, images=other)
        yield Mistake("input ignored", name, f"the input {name} is ignored", _feeding(ignored), needs=needs)


def _feeding(inputs: Inputs) -> Plant:
    def plant(trial: Trial, _: ExitStack, witness: Witness) -> Trial:
        witness.see()
        return replace(trial, inputs=inputs)

    return plant
