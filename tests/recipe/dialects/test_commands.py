"""Documented command lines of other projects, as arguments of `pit-train`."""

from __future__ import annotations

import pytest

from recipe.dialects.commands import translate_command
from recipe.errors import ConfigError


def _words(line: str) -> list[str]:
    command = translate_command(line.split())
    assert command is not None
    return command.arguments


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "main_multi_gpu_distill.py -cfg=./d.yaml -dataset=imagenet2012 -batch_size=256 -data_path=/i -amp",
            "train --config=./d.yaml --script=main_multi_gpu_distill data.batch_size=256 data.path=/i "
            "run.precision=mixed",
        ),
        (
            "python/main_multi_gpu_no_distill.py -cfg=./d.yaml -data_path=/i -pretrained=./w.pdparams -eval -amp",
            "eval --config=./d.yaml --script=main_multi_gpu_no_distill data.path=/i model.weights=./w.pdparams",
        ),
        (
            "-cfg=c.yaml -batch_size=256 -data_path=d -save_path=output -ngpus=4 -resume=output/PiT-Latest "
            "-last_epoch=3",
            "train --config=c.yaml --project=hatimwen --resume=output/PiT-Latest.pdparams --last-epoch=3 "
            "data.batch_size=256 data.path=d run.output=output",
        ),
        (
            "predict.py -pretrained=output/Best_PiT -img_path=images/a.JPEG",
            "predict --weights=output/Best_PiT.pdparams images/a.JPEG",
        ),
        (
            "-cfg c.yaml -eval -resume r model.num_classes=10",
            "eval --config=c.yaml model.weights=r.pdparams model.num_classes=10",
        ),
        (
            "-cfg c.yaml -dialect hatimwen -script main_multi_gpu_distill",
            "train --config=c.yaml --dialect=hatimwen --script=main_multi_gpu_distill",
        ),
        (
            "train.py --config p.yaml --data_dir /i --distribute False",
            "train --config=p.yaml --dialect=mindcv --key=data_dir=/i --key=distribute=False",
        ),
        (
            "-cfg c.yaml --framework torch --dialect=hatimwen -amp",
            "train --config=c.yaml run.precision=mixed --framework torch --dialect=hatimwen",
        ),
        (
            "-c p.yaml --distribute --lr=0.1",
            "train --config=p.yaml --dialect=mindcv --key=distribute=true --key=lr=0.1",
        ),
        (
            "validate.py -c p.yaml --data_dir /i --ckpt_path /c.ckpt",
            "eval --config=p.yaml --dialect=mindcv --key=data_dir=/i --key=ckpt_path=/c.ckpt",
        ),
        (
            "main.py --model deit_small_patch16_224 --batch-size 256 --data-path /i --output_dir /o",
            "train --config=deit model.name=deit_small data.batch_size=64 data.workers=10 augmentation.repeats=3 "
            "data.crop=0.875 data.batch_size=256 data.path=/i run.output=/o",
        ),
        (
            "--eval --resume w.pth --model pit_ti --data-path /i --no-repeated-aug --opt-betas 0.9 0.95 --device cpu",
            "eval --config=deit model.name=pit_ti data.batch_size=64 data.workers=10 augmentation.repeats=3 "
            "model.weights=w.pth data.path=/i augmentation.repeats=1",
        ),
        (
            "run_with_submitit.py --model deit_base_distilled_patch16_224 --distillation-type hard "
            "--teacher-path t.pth",
            "train --config=deit model.name=deit_base_distilled data.batch_size=64 data.workers=10 "
            "augmentation.repeats=3 data.crop=0.875 distillation.kind=hard distillation.weights=t.pth",
        ),
        (
            "run_with_submitit.py --model deit_base_patch16_384 --batch-size 32 --finetune w.pth --input-size 384 "
            "--use_volta32 --nodes 2 --lr 5e-6",
            "train --config=deit model.name=deit_base data.batch_size=64 data.workers=10 augmentation.repeats=3 "
            "data.crop=0.875 data.batch_size=32 model.weights=w.pth model.image_size=384 optimizer.learning_rate=5e-6",
        ),
    ],
)
def test_documented_command_is_translated(line: str, expected: str) -> None:
    words = [word for word in _words(line) if not word.startswith(("optimizer.betas", "run.device"))]
    assert words == expected.split()


def test_rate_that_is_not_scaled_is_taken_as_it_is() -> None:
    assert "optimizer.base_batch=0" in _words("main.py --model pit_ti --unscale-lr --lr 1e-4")


def test_several_values_of_an_option_are_one_list() -> None:
    assert "optimizer.betas=[0.9, 0.95]" in _words("main.py --model pit_ti --opt-betas 0.9 0.95")


@pytest.mark.parametrize(
    "line",
    ["train --config pit_b_224", "--help", "--debug", "", "predict a.jpg", "--resume x", "train --framework torch"],
)
def test_own_command_is_left_alone(line: str) -> None:
    assert translate_command(line.split()) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("main_multi_gpu.py -batch_sise 3", "did you mean -batch_size"),
        ("-cfg c.yaml -last_epoch three", "-last_epoch is 'three', expected the number of epochs"),
        ("-cfg c.yaml -script main.py", "-script is 'main.py', expected main_multi_gpu_distill or "),
        ("-data_path d", "names no configuration file"),
        ("predict.py -pretrained w", "predict.py needs an image"),
        ("-img_path a.jpg", "needs weights: give -pretrained"),
        ("train.py --config p.yaml --data-dir /i", "did you mean --data_dir"),
        ("train.py --config p.yaml --lr", "--lr needs a value"),
        ("main.py --model pit_q", "--model stands for no model here: pit_q"),
        ("main.py --opt adamp", "--opt is 'adamp', which is not carried out here; only adamw"),
        (
            "main.py --model deit_small_patch16_224 --ThreeAugment --bce-loss",
            "--bce-loss is not carried out.*--ThreeAugm",
        ),
        ("main.py --model pit_ti --cosine", "unknown option '--cosine'$"),
        ("-cfg c.yaml -learning_rate=3", "unknown option '-learning_rate=3'$"),
        ("-cfg c.yaml -dry-run", "did you mean --dry-run?"),
        ("main.py --eval --resume https://a.b/c.pth", "fetch the file and give its path"),
    ],
)
def test_command_that_cannot_be_carried_out_is_refused(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translate_command(line.split())
