"""The nets, and the mistakes that are planted into each."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.mistakes.mistake import Mistake, Net
from benchmarks.mistakes.tables import (
    convnet,
    convolutional,
    decoder,
    language,
    reader,
    scorer,
    translator,
    unet,
    vision_transformer,
)

_PORTS = "benchmarks.mistakes.ports"
_PARTS = "tests.models.paddle_parts"
NETS: Mapping[str, Net] = {
    "resnet": Net("ResNet-18", ("paddle.vision.models.resnet",)),
    "mobilenet": Net("MobileNetV3", ("paddle.vision.ops", "paddle.vision.models.mobilenetv3")),
    "vit": Net("ViT", (_PARTS, "tests.models.vit_paddle")),
    "bert": Net("BERT", (_PARTS, "tests.models.bert_paddle")),
    "llama": Net("Llama", (_PARTS, "tests.models.llama_paddle")),
    "decoder": Net("small decoder", ("benchmarks.mistakes.decoder_paddle",)),
    "scorer": Net("scorer", ("benchmarks.mistakes.scorer_paddle",)),
    "unet": Net("U-Net", (f"{_PORTS}.unet_paddle",)),
    "convnet": Net("ConvNeXt with gates", (f"{_PORTS}.convnet_paddle",)),
    "translator": Net("translator", (f"{_PORTS}.translator_paddle",)),
    "reader": Net("line reader", (f"{_PORTS}.reader_paddle",)),
}
MISTAKES: tuple[Mistake, ...] = (
    *convolutional.RESNET,
    *convolutional.MOBILENET,
    *vision_transformer.VIT,
    *language.BERT,
    *language.LLAMA,
    *decoder.DECODER,
    *scorer.SCORER,
    *unet.UNET,
    *convnet.CONVNET,
    *translator.TRANSLATOR,
    *reader.READER,
)
