"""Padding, resizing, and layers that rearrange."""

from benchmarks.frameworks.case import function, layer, real

_LINE, _IMAGE, _VOLUME = real(2, 3, 7), real(2, 3, 5, 6), real(1, 2, 3, 4, 3)

CASES = (
    layer("ConstantPad1d((1, 2), 0.3)", "Pad1D([1, 2], value=0.3)", _LINE),
    layer("ConstantPad2d((1, 2, 0, 3), 0.3)", "Pad2D([1, 2, 0, 3], value=0.3)", _IMAGE),
    layer("ZeroPad2d((1, 2, 0, 3))", "ZeroPad2D([1, 2, 0, 3])", _IMAGE),
    layer("ReflectionPad1d((1, 2))", "Pad1D([1, 2], mode='reflect')", _LINE),
    layer("ReflectionPad2d((1, 2, 0, 3))", "Pad2D([1, 2, 0, 3], mode='reflect')", _IMAGE),
    layer("ReplicationPad2d((1, 2, 0, 3))", "Pad2D([1, 2, 0, 3], mode='replicate')", _IMAGE),
    layer("CircularPad2d((1, 2, 0, 3))", "Pad2D([1, 2, 0, 3], mode='circular')", _IMAGE),
    layer("ReplicationPad3d(1)", "Pad3D(1, mode='replicate')", _VOLUME),
    function("F.pad(x, (1, 2))", "F.pad(x, [1, 2], data_format='NCL')", _LINE),
    function("F.pad(x, (1, 2, 0, 1))", "F.pad(x, [1, 2, 0, 1])", _IMAGE),
    function(
        "F.pad(x, (0, 0, 1, 2, 0, 1, 1, 0))",
        "F.pad(x, [0, 0, 1, 2, 0, 1, 1, 0])",
        _IMAGE,
        note="a list for all axes begins with the first axis, unless pad_from_left_axis=False",
    ),
    function(
        "F.pad(x, (0, 0, 1, 2, 0, 1, 1, 0))", "F.pad(x, [0, 0, 1, 2, 0, 1, 1, 0], pad_from_left_axis=False)", _IMAGE
    ),
    function("F.pad(x, (-1, 1), mode='constant')", "F.pad(x, [-1, 1], mode='constant', data_format='NCL')", _LINE),
    function("F.interpolate(x, scale_factor=2)", "", _IMAGE),
    function("F.interpolate(x, size=(8, 9))", "", _IMAGE),
    function("F.interpolate(x, size=(3, 4))", "", _IMAGE),
    function("F.interpolate(x, scale_factor=1.7)", "", _IMAGE),
    function(
        "F.interpolate(x, size=10)",
        "F.interpolate(x, size=[10], data_format='NCW')",
        _LINE,
        note="nearest takes images and volumes only",
    ),
    function("F.interpolate(x, scale_factor=2, mode='bilinear')", "", _IMAGE),
    function("F.interpolate(x, size=(8, 9), mode='bilinear')", "", _IMAGE),
    function("F.interpolate(x, size=(3, 4), mode='bilinear')", "", _IMAGE),
    function("F.interpolate(x, scale_factor=1.7, mode='bilinear')", "", _IMAGE),
    function("F.interpolate(x, scale_factor=1.7, mode='bilinear', recompute_scale_factor=True)", "", _IMAGE),
    function(
        "F.interpolate(x, size=(8, 9), mode='bilinear', align_corners=False)",
        "F.interpolate(x, size=(8, 9), mode='bilinear', align_mode=1)",
        _IMAGE,
        note="align_mode=1 has source = ratio times target; torch has no such mode",
    ),
    function("F.interpolate(x, size=(8, 9), mode='bilinear', align_corners=True)", "", _IMAGE),
    function("F.interpolate(x, size=(3, 4), mode='bilinear', align_corners=True)", "", _IMAGE),
    function("F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=True)", "", _IMAGE),
    function("F.interpolate(x, size=(8, 9), mode='bicubic')", "", _IMAGE),
    function("F.interpolate(x, scale_factor=2, mode='bicubic')", "", _IMAGE),
    function("F.interpolate(x, size=(8, 9), mode='bicubic', align_corners=True)", "", _IMAGE),
    function("F.interpolate(x, size=(3, 4), mode='bicubic')", "", _IMAGE),
    function(
        "F.interpolate(x, size=10, mode='linear')",
        "F.interpolate(x, size=[10], mode='linear', data_format='NCW')",
        _LINE,
    ),
    function(
        "F.interpolate(x, size=10, mode='linear', align_corners=True)",
        "F.interpolate(x, size=[10], mode='linear', align_corners=True, data_format='NCW')",
        _LINE,
    ),
    function(
        "F.interpolate(x, size=(5, 6, 4), mode='trilinear')",
        "F.interpolate(x, size=(5, 6, 4), mode='trilinear', data_format='NCDHW')",
        _VOLUME,
    ),
    function(
        "F.interpolate(x, size=(5, 6, 4), mode='trilinear', align_corners=True)",
        "F.interpolate(x, size=(5, 6, 4), mode='trilinear', align_corners=True, data_format='NCDHW')",
        _VOLUME,
    ),
    function("F.interpolate(x, size=(3, 4), mode='area')", "", _IMAGE),
    function("F.interpolate(x, size=(3, 4), mode='bilinear', antialias=True)", "", _IMAGE),
    function("F.interpolate(x, size=(3, 4), mode='bicubic', antialias=True)", "", _IMAGE),
    layer("Upsample(scale_factor=2, mode='bilinear')", "", _IMAGE),
    layer("UpsamplingBilinear2d(scale_factor=2)", "", _IMAGE),
    layer("UpsamplingNearest2d(scale_factor=2)", "", _IMAGE),
    function(
        "F.grid_sample(x, y.tanh())", "", _IMAGE, real(2, 4, 3, 2), note="align_corners is True unless it is given"
    ),
    function("F.grid_sample(x, y, align_corners=False)", "", _IMAGE, real(2, 4, 3, 2)),
    function("F.grid_sample(x, y, align_corners=True)", "", _IMAGE, real(2, 4, 3, 2)),
    function("F.grid_sample(x, y, mode='nearest', align_corners=False)", "", _IMAGE, real(2, 4, 3, 2)),
    function("F.grid_sample(x, y, padding_mode='border', align_corners=False)", "", _IMAGE, real(2, 4, 3, 2)),
    function("F.grid_sample(x, y, padding_mode='reflection', align_corners=False)", "", _IMAGE, real(2, 4, 3, 2)),
    function(
        "F.affine_grid(x, (2, 3, 5, 6), align_corners=False)",
        "F.affine_grid(x, [2, 3, 5, 6], align_corners=False)",
        real(2, 2, 3),
    ),
    function(
        "F.affine_grid(x, (2, 3, 5, 6), align_corners=True)",
        "F.affine_grid(x, [2, 3, 5, 6], align_corners=True)",
        real(2, 2, 3),
    ),
    layer("PixelShuffle(2)", "", real(2, 8, 3, 4)),
    layer("PixelUnshuffle(2)", "", real(2, 3, 4, 6)),
    layer("ChannelShuffle(2)", "", real(2, 4, 3, 3)),
    layer("Flatten()", "", _IMAGE),
    layer("Unflatten(1, (1, 3))", "Unflatten(1, [1, 3])", _IMAGE),
    layer("Unfold(3, padding=1, stride=2)", "Unfold(3, paddings=1, strides=2)", _IMAGE),
    layer("Fold((5, 6), 3, padding=1)", "Fold([5, 6], 3, paddings=1)", real(2, 27, 30)),
)
