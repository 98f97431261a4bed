"""Trainings of a pair of one's own, in this process: right ones agree, mistakes are named, bad ones are refused."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.backends.base import Runtime
from alignment.backends.building import build_model
from alignment.backends.trainers import base as trainers
from alignment.backends.trainers.plain import PlainTrainer, create_plain
from alignment.errors import AlignmentError
from alignment.judging.compare_paths import compare_paths
from alignment.pair import ROLES, Pair, Role, Side
from alignment.pair.inputs import finished
from alignment.pair.telling import telling_batch
from alignment.results.findings import Finding
from alignment.results.report import Report
from alignment.rules.in_process import derive_here
from alignment.rules.settle import settled
from alignment.running.request import Request
from alignment.running.weights import write_weights
from alignment.steps.base import hindrances
from alignment.steps.training import TRAINING_STEPS
from alignment.training.own_explain import explain_own
from alignment.training.own_worker import run
from alignment.training.worker import TrainingRequest
from recipe.loading import load

STEPS = ("schedule", "regularisation", "optimizer", "train")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_trainings", Path(__file__).with_name("own_trainings.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OWN = _load()


@dataclass(frozen=True)
class Bench:
    """Runs trainings of both nets in this process; the rules of a net are derived, and a reference run, once."""

    folder: Path

    def pair(self, net: str, reference: str, candidate: str) -> Pair:
        """A pair with its rules settled, which workers find again."""
        rules = self.folder / f"{net}.json"
        pair: Pair = OWN.declared(net, reference, candidate)
        if not rules.exists():
            models = [build_model(pair.side(role), Runtime()) for role in ROLES]
            derive_here(pair, models[0], models[1]).write(rules)
        target = f"{__name__}:declared"
        given = {"net": net, "reference": reference, "candidate": candidate}
        OWN_PAIRS[tuple(given.values())] = pair
        return settled(target, given, str(rules))

    def run_side(self, pair: Pair, role: Role, steps: tuple[str, ...], exact: bool) -> Path:
        """The request of a side, carried out."""
        training = getattr(pair.side(role), "training").rpartition(":")[2]  # noqa: B009 - read as a worker reads it
        folder = self.folder / f"{training}-{'-'.join(steps)}-{exact}-{role}"
        request = folder / "request.json"
        if request.exists():
            return request
        folder.mkdir()
        asked = self._request(pair, role, folder, exact)
        asked.write(request)
        TrainingRequest(list(steps), "", None, "", 4).write(folder / "training.json")
        run(asked, TrainingRequest.read(folder / "training.json"), lambda *_: None)
        return request

    def _request(self, pair: Pair, role: Role, folder: Path, exact: bool) -> Request:
        weights = write_weights(pair, role, folder, source=None, seed=0)
        batch = finished(pair, telling_batch(pair, 12, seed=0), seed=0)
        batch.write(folder / "inputs.safetensors")
        assert pair.origin is not None
        peer = "paddle" if role == "reference" else "torch"
        return Request(
            target=pair.origin.target, arguments=pair.origin.arguments, role=role, label=pair.label(role), steps=[],
            dtypes=["float64"], device="cpu", threads=1, deterministic=True, tf32=False, seed=0, perturbations=0,
            weights=str(weights.path), drawn=True, weights_digest=weights.digest,
            inputs=str(folder / "inputs.safetensors"), inputs_digest=batch.digest, folder=str(folder),
            exact=peer if exact else "", command="", notes=[],
        )  # fmt: skip

    def align(
        self, net: str, reference: str, candidate: str, steps: tuple[str, ...] = STEPS, exact: bool = True
    ) -> tuple[Report, tuple[Finding, ...]]:
        """The report of both sides, and what explains its differences."""
        pair = self.pair(net, f"torch_{net}_{reference}", f"paddle_{net}_{candidate}")
        requests = {role: self.run_side(pair, role, steps, exact) for role in ROLES}
        sides = [requests[role].parent / f"{pair.label(role)}-float64" for role in ROLES]
        report = compare_paths(*sides)
        findings = explain_own(requests, requests["reference"].parent / "training.json") if report.failures else ()
        return report, findings


OWN_PAIRS: dict[tuple[str, ...], Pair] = {}


def declared(net: str, reference: str, candidate: str) -> Pair:
    """What the requests name."""
    return OWN_PAIRS[net, reference, candidate]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("own"))


@pytest.mark.filterwarnings("ignore:When training:UserWarning")  # of Paddle's BatchNorm
@pytest.mark.parametrize(
    ("net", "name"),
    [("mlp", "adamw"), ("mlp", "adam"), ("mlp", "sgd"), ("mlp", "rmsprop"), ("mlp", "lamb"), ("conv", "adamw")],
)
def test_right_training_agrees_in_every_step(bench: Bench, net: str, name: str) -> None:
    report, _ = bench.align(net, name, name)
    assert report.steps == STEPS
    assert not report.failures, report.failures[0].reason


def test_paddles_own_kernels_show_where_nothing_stands_in_for_them(bench: Bench) -> None:
    report, _ = bench.align("mlp", "adamw", "adamw", ("regularisation",), exact=False)
    assert {row.key for row in report.failures} == {f"regularisation/decay/{name}.weight" for name in (0, 4)}
    assert all(row.rel_l2 is not None and row.rel_l2 < 1e-7 for row in report.failures)


@pytest.mark.parametrize(
    ("candidate", "where", "says"),
    [
        ("adamw_norm_decays", "regularisation/decay/1.weight", "1.weight decays by 0.05, and should not decay"),
        ("adamw_norm_decays", "optimizer/parameter/1.weight", "the decay of 1.weight is 0.05, not 0"),
        ("adamw_bias_decays", "optimizer/parameter/4.bias", "the decay of 4.bias is 0.05, not 0"),
        ("adamw_filter_list", "regularisation/decays", "{0..1,4}.bias, 1.weight decay by 0.05, and should not decay"),
        ("adamw_filter_suffix", "regularisation/decays", "{0..1,4}.bias, 1.weight decay by 0.05, and should not decay"),
        ("adamw_decay", "regularisation/decays", "{0,4}.weight decay by 0.03, not by 0.05"),
        ("adamw_rate_of_group", "optimizer/parameter/4.bias", "the rate of 4.bias is 10 times that of most parameters"),
        ("adamw_rate_of_group", "schedule/relative_rate/4.bias", "the rate of 4.bias is 10 times that of most"),
        ("adamw_beta2", "optimizer/all", "beta2 is 0.99, not 0.999"),
        ("adamw_epsilon", "optimizer/all", "epsilon is 3e-07, not 1e-08"),
        ("adamw_inside", "optimizer/all", "epsilon is added inside the root, not outside of it"),
        ("adamw_uncorrected", "optimizer/all", "the bias of neither moment is corrected"),
        ("adamw_unscaled", "optimizer/all", "the decay is not multiplied by the rate"),
        ("adamw_l2", "optimizer/all", "it is Adam, where the reference has AdamW"),
        ("adamw_l2", "regularisation/decays", "goes through the moments, as in Adam with L2"),
        ("adamw_ahead", "schedule/lr", "the scheduler is off by 1: every update has the rate of the one 1 after it"),
        (
            "adamw_other_rate",
            "schedule/lr",
            "between 1e-05 and 0.0005, where the reference's is between",
        ),
        ("adamw_summed", "train/loss_0", "the loss is summed over the batch of 4, not averaged"),
        ("sgd_momentum", "optimizer/all", "the momentum is 0.1, not 0.9, which is 1 - 0.9"),
        ("sgd_nesterov", "optimizer/all", "Nesterov's momentum is on, not off"),
        ("rmsprop_rho", "optimizer/all", "alpha (rho) is 0.95, not 0.9"),
        ("lamb_decay", "optimizer/all", "the decay is 0.02, not 0.01"),
    ],
)
def test_mistake_is_named_with_its_values(bench: Bench, candidate: str, where: str, says: str) -> None:
    _, findings = bench.align("mlp", candidate.partition("_")[0], candidate)
    causes = {finding.path: [cause.says for cause in finding.causes] for finding in findings}
    assert where in causes, causes
    assert len(causes[where]) == 1
    assert says in causes[where][0]
    assert all(causes.values()), "a difference that follows from another one is no finding"


@pytest.mark.parametrize("style", ["list", "suffix"])
def test_decay_of_everything_has_the_filter_as_its_remedy(bench: Bench, style: str) -> None:
    _, findings = bench.align("mlp", "adamw", f"adamw_filter_{style}", ("regularisation",))
    (cause,) = next(finding.causes for finding in findings if finding.path == "regularisation/decays")
    assert "apply_decay_param_fun is given parameter.name" in cause.look_at


def test_own_optimizer_of_a_user_that_is_right_agrees(bench: Bench) -> None:
    report, _ = bench.align("mlp", "adamw", "adamw_by_hand")
    assert not report.failures, report.failures[0].reason


def _trainer(name: str) -> PlainTrainer:
    side = Side("paddle", f"{OWN.HERE}:paddle_mlp", training=f"{OWN.HERE}:{name}")
    return create_plain(side, Runtime(), {})


@pytest.fixture(scope="module")
def weights() -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in OWN.paddle_mlp().state_dict().items()}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad_nothing", "returned a NoneType, expected a Training(model, optimizer, loss)"),
        ("bad_other_framework", "the optimizer is a torch.optim.sgd.SGD, expected one of paddle.optimizer"),
        ("bad_word", "the optimizer is a str, expected one of paddle.optimizer"),
        ("bad_other_model", "the optimizer holds none of the model's parameters"),
        ("bad_of_another", "the optimizer holds none of the model's parameters; it was made for another model"),
        ("bad_too_many", "the optimizer holds 6 parameters that the model does not have"),
        ("bad_uncallable", "the loss is a int, expected a function of outputs and target"),
        ("bad_scheduler", "the scheduler is a torch.optim.lr_scheduler.StepLR, expected one of paddle.optimizer's"),
        ("bad_loose", "the optimizer does not take its rate from the scheduler; make it with learning_rate=scheduler"),
        ("bad_torch_model", "the model is a torch.nn.modules.container.Sequential, expected a paddle.nn.Layer"),
        ("takes_arguments", "takes arguments; in a pair with rules it is a function without any"),
        ("paddle_conv_adamw", "their tensors differ"),
    ],
)
def test_training_that_cannot_be_run_is_refused_in_one_line(name: str, message: str, weights: dict[str, Array]) -> None:
    with pytest.raises(AlignmentError) as caught:
        _trainer(name).start(weights)
    assert message in caught.value.summary
    assert "\n" not in caught.value.summary


def test_parameters_that_the_optimizer_is_not_given_stay_as_they_are(weights: dict[str, Array]) -> None:
    trainer = _trainer("paddle_mlp_sgd_left_out")
    trainer.start(weights)
    assert set(trainer.rates()) == {"0.weight", "0.bias"}
    trainer.update(np.ones((4, 6), np.float32), np.zeros(4, np.int64))
    moved = {name for name, array in trainer.weights().items() if not np.array_equal(array, weights[name])}
    assert moved == {"0.weight", "0.bias"}


def test_parameters_that_only_one_sides_optimizer_is_given_diverge(bench: Bench) -> None:
    report, _ = bench.align("mlp", "sgd", "sgd_left_out", ("optimizer",))
    assert "optimizer/step_1/parameter/4.weight" in {row.key for row in report.failures}


@pytest.mark.parametrize(
    ("name", "message"), [("bad_vector", "gives a tensor of shape (4,)"), ("bad_number", "gives a float")]
)
def test_loss_that_is_no_single_number_is_refused(name: str, message: str, weights: dict[str, Array]) -> None:
    trainer = _trainer(name)
    trainer.start(weights)
    with pytest.raises(AlignmentError, match="expected one number: a mean or a sum over the batch") as caught:
        trainer.loss_of(np.zeros((4, 6), np.float32), np.zeros(4, np.int64))
    assert message in caught.value.summary


def test_scheduler_of_another_optimizer_of_torch_is_refused() -> None:
    side = Side("torch", f"{OWN.HERE}:torch_mlp", training=f"{OWN.HERE}:torch_scheduler_of_another")
    with pytest.raises(AlignmentError, match="the scheduler was made for another optimizer"):
        create_plain(side, Runtime(), {}).start({})


def test_steps_that_read_images_do_not_apply_to_a_pair_of_ones_own() -> None:
    pair = OWN.declared("mlp", "torch_mlp_adamw", "paddle_mlp_adamw")
    reasons = hindrances(TRAINING_STEPS, tuple(TRAINING_STEPS), pair)
    assert list(reasons) == ["data", "train_data", "distributed", "inference"]
    assert "reads no image files" in reasons["data"]


def test_published_pair_says_what_a_plain_training_is_for() -> None:
    side = Side("paddle", f"{OWN.HERE}:paddle_mlp", training=f"{OWN.HERE}:bad_word")
    with pytest.raises(AlignmentError, match="declare one with rules='auto'"):
        trainers.create(side, load("deit"))
