"""What MindSpore cannot carry out is refused before its process is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe.errors import ConfigError
from recipe.limits import check_for
from recipe.loading import load, load_run

SMALL = ("model.name=pit_micro", "model.image_size=32", "model.num_classes=10")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model.name=pit_ti_distilled",), "model.name is pit_ti_distilled, which MindCV has not; .* has is pit_ti"),
        (("model.name=deit_tiny",), "model.name is deit_tiny, which MindCV has not; the nearest that it has is"),
        ((*SMALL, "run.precision=float64"), "run.precision is float64, but MindSpore has no float64 convolution; take"),
        ((*SMALL, "run.precision=bfloat16"), "run.precision is bfloat16, but MindCV's levels are float16; take"),
        (("model.name=regnety_160",), r"model.drop_path_rate is 0.1, but MindCV's regnety_160 drops nothing; take 0"),
    ],
)
def test_setting_is_refused_with_the_nearest_that_can_be_carried_out(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match="--framework mindspore cannot carry this configuration out") as caught:
        check_for("mindspore", "train", load("deit", overrides), {})
    assert caught.value.exit_code == 2
    caught.match(message)


def test_refusal_names_file_and_line_of_every_setting(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model:\n  name: pit_ti_distilled\n")
    loaded = load_run(str(path), ["run.precision=float64"])
    with pytest.raises(ConfigError) as caught:
        check_for("mindspore", "train", loaded.config, loaded.places)
    text = str(caught.value)
    assert f"{path}:2: model.name is pit_ti_distilled" in text
    assert "run.precision=float64: run.precision is float64" in text


@pytest.mark.parametrize(("framework", "action"), [("torch", "train"), ("mindspore", "eval")])
def test_what_can_be_carried_out_passes(framework: str, action: str) -> None:
    check_for(framework, action, load("deit", ["model.name=regnety_160"]), {})
    check_for(framework, "train", load("deit", SMALL), {})
