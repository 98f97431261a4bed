"""The nets, and the mistakes that are planted into each."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.mistakes.mistake import Mistake, Net
from benchmarks.mistakes.tables import convolutional, decoder, language, scorer, vision_transformer

_PARTS = "tests.models.paddle_parts"
NETS: Mapping[str, Net] = {
    "resnet": Net("ResNet-18", ("paddle.vision.models.resnet",)),
    "mobilenet": Net("MobileNetV3", ("paddle.vision.ops", "paddle.vision.models.mobilenetv3")),
    "vit": Net("ViT", (_PARTS, "tests.models.vit_paddle")),
    "bert": Net("BERT", (_PARTS, "tests.models.bert_paddle")),
    "llama": Net("Llama", (_PARTS, "tests.models.llama_paddle")),
    "decoder": Net("small decoder", ("benchmarks.mistakes.decoder_paddle",)),
    "scorer": Net("scorer", ("benchmarks.mistakes.scorer_paddle",)),
}
MISTAKES: tuple[Mistake, ...] = (
    *convolutional.RESNET,
    *convolutional.MOBILENET,
    *vision_transformer.VIT,
    *language.BERT,
    *language.LLAMA,
    *decoder.DECODER,
    *scorer.SCORER,
)
