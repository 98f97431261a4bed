"""Norms: eps, momentum, running statistics and axes."""

from benchmarks.frameworks.case import function, layer, real, small

_ROWS, _LINE, _IMAGE, _VOLUME = real(6, 4), real(3, 4, 5), real(3, 4, 5, 6), real(2, 4, 3, 3, 2)
_PLAIN = "without a weight the gradient of the input is wrong; with a weight of ones it is right"
_SMALL, _SMALL_ROWS = small(3, 4, 5, 6), small(6, 4)
_BATCH = "the running variance takes up the biased variance of the batch; torch's is unbiased"

CASES = (
    layer("BatchNorm1d(4)", "", _ROWS, note=_BATCH),
    layer("BatchNorm1d(4)", "", _LINE, note=_BATCH),
    layer("BatchNorm2d(4)", "", _IMAGE, note=_BATCH),
    layer("BatchNorm2d(4, eps=0.001)", "", _IMAGE, note=_BATCH),
    layer("BatchNorm2d(4, eps=0.0009765625)", "", _IMAGE, note=_BATCH),
    layer("BatchNorm2d(4, momentum=0.25)", "BatchNorm2D(4, momentum=0.75)", _IMAGE, note=_BATCH),
    layer(
        "BatchNorm2d(4, momentum=0.1)",
        "",
        _IMAGE,
        note=_BATCH + "; momentum is the share that is kept, torch's the share that is new",
    ),
    layer("BatchNorm2d(4, affine=False)", "BatchNorm2D(4, weight_attr=False, bias_attr=False)", _IMAGE, note=_BATCH),
    layer(
        "BatchNorm2d(4, track_running_stats=False)",
        "BatchNorm2D(4, use_global_stats=False)",
        _IMAGE,
        note="in evaluation the gradients are those of the running statistics, although the output has the batch's",
    ),
    layer("BatchNorm3d(4)", "", _VOLUME, note=_BATCH),
    layer("BatchNorm1d(4)", "", _SMALL_ROWS, note=_BATCH),
    layer("BatchNorm2d(4)", "", _SMALL, note=_BATCH),
    layer("LayerNorm(6)", "", _IMAGE),
    layer("LayerNorm(6)", "", _SMALL),
    layer("LayerNorm(6, eps=1e-06)", "", _SMALL),
    layer("GroupNorm(2, 4)", "", _SMALL),
    layer("InstanceNorm2d(4, affine=True)", "InstanceNorm2D(4)", _SMALL),
    function(
        "F.rms_norm(x, (6,), y, eps=1e-06)",
        "F.rms_norm(x, (6,), y, eps=1e-06)[0]",
        _SMALL,
        real(6),
        note="there is no such kernel on the CPU",
    ),
    function("x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-06)", "", _SMALL),
    layer("LayerNorm((5, 6))", "", _IMAGE),
    layer("LayerNorm(6, eps=1e-06)", "", _IMAGE),
    layer("LayerNorm(6, eps=1e-12)", "", _IMAGE),
    layer("LayerNorm(6, eps=0.001)", "", _IMAGE),
    layer("LayerNorm(6, elementwise_affine=False)", "LayerNorm(6, weight_attr=False, bias_attr=False)", _IMAGE),
    layer("LayerNorm(6, bias=False)", "", _IMAGE),
    layer("GroupNorm(2, 4)", "", _IMAGE),
    layer("GroupNorm(2, 4)", "", _LINE),
    layer("GroupNorm(1, 4, eps=0.001)", "", _IMAGE),
    layer("GroupNorm(2, 4, affine=False)", "GroupNorm(2, 4, weight_attr=False, bias_attr=False)", _IMAGE, note=_PLAIN),
    layer("GroupNorm(4, 4)", "", _IMAGE),
    layer("GroupNorm(4, 4, affine=False)", "GroupNorm(4, 4, weight_attr=False, bias_attr=False)", _IMAGE, note=_PLAIN),
    layer("InstanceNorm1d(4)", "InstanceNorm1D(4, weight_attr=False, bias_attr=False)", _LINE),
    layer("InstanceNorm2d(4, affine=True)", "InstanceNorm2D(4)", _IMAGE),
    layer(
        "InstanceNorm2d(4, eps=0.001)", "InstanceNorm2D(4, epsilon=0.001, weight_attr=False, bias_attr=False)", _IMAGE
    ),
    layer("InstanceNorm3d(4, affine=True)", "InstanceNorm3D(4)", _VOLUME),
    function(
        "F.rms_norm(x, (6,), y)",
        "F.rms_norm(x, (6,), y, eps=2.220446049250313e-16)[0]",
        _IMAGE,
        real(6),
        note="there is no such kernel on the CPU",
    ),
    function(
        "F.rms_norm(x, (6,), y, eps=1e-06)",
        "F.rms_norm(x, (6,), y, eps=1e-06)[0]",
        _IMAGE,
        real(6),
        note="there is no such kernel on the CPU",
    ),
    function("x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-06)", "", _IMAGE),
    layer("LocalResponseNorm(3)", "", _IMAGE),
    layer("LocalResponseNorm(2, alpha=0.01, beta=0.5, k=2.0)", "", _IMAGE),
    function("F.normalize(x)", "", _ROWS),
    function("F.normalize(x, p=1.0, dim=-1)", "", _IMAGE),
    function(
        "F.normalize(x, dim=-1, eps=1.0)",
        "",
        _IMAGE,
        note="the gradient divides by the norm plus epsilon, where the output has the larger of both",
    ),
    function("F.layer_norm(x, (6,), y, z, 1e-06)", "", _IMAGE, real(6), real(6)),
    function("F.group_norm(x, 2, y, z, 1e-06)", "F.group_norm(x, 2, 1e-06, y, z)", _IMAGE, real(4), real(4)),
)
