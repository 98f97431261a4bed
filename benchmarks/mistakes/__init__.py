"""Mistakes planted into real nets: which are detected, localised and named.

    python -m benchmarks.mistakes [--model vit] [--only "softmax axis"] [--write]

Each mistake is a change of a line or two in the source of the port. The references are timm's, transformers' and our
own nets; the ports are `paddle.vision.models` and the twins in `tests/models`.
"""
