"""Pooling: windows, edges and what counts in a mean."""

from benchmarks.frameworks.case import function, layer, real

_LINE, _IMAGE, _VOLUME = real(2, 3, 9), real(2, 3, 7, 7), real(2, 3, 5, 6, 7)
_UNEVEN = real(2, 3, 7, 10)
_EXCLUSIVE = "exclusive is True unless it is given: the mean leaves out the padding"
_LAST = "with ceil_mode a last window that lies in the padding only is kept"

CASES = (
    layer("MaxPool1d(3)", "", _LINE),
    layer("MaxPool1d(3, 2, 1, ceil_mode=True)", "", real(2, 3, 10)),
    layer("MaxPool2d(3, 2, 1)", "", _IMAGE),
    layer("MaxPool2d(2)", "", _IMAGE),
    layer("MaxPool2d(3, 2)", "", real(2, 3, 8, 8)),
    layer("MaxPool2d(3, 2, ceil_mode=True)", "", real(2, 3, 8, 8)),
    layer("MaxPool2d(3, 2, 1, ceil_mode=True)", "", real(2, 3, 8, 8)),
    layer("MaxPool2d(2, 3, 1, ceil_mode=True)", "", _IMAGE, note=_LAST),
    layer("MaxPool2d(3, return_indices=True)", "", _IMAGE),
    layer("MaxPool3d(3, 2, 1)", "", _VOLUME),
    function("F.max_pool2d(x.relu(), 3, 2, 1)", "F.max_pool2d(F.relu(x), 3, 2, 1)", _IMAGE),
    layer("AvgPool1d(3)", "", _LINE),
    layer("AvgPool1d(2)", "", _LINE),
    layer("AvgPool1d(3, 2, 1)", "", _LINE, note=_EXCLUSIVE),
    layer("AvgPool1d(3, 2, 1)", "AvgPool1D(3, 2, 1, exclusive=False)", _LINE),
    layer("AvgPool2d(2)", "", _IMAGE),
    layer("AvgPool2d(3)", "", _IMAGE),
    layer("AvgPool2d(7)", "", _IMAGE),
    layer("AvgPool2d(3, 2, 1)", "", _IMAGE, note=_EXCLUSIVE),
    layer("AvgPool2d(3, 2, 1)", "AvgPool2D(3, 2, 1, exclusive=False)", _IMAGE),
    layer("AvgPool2d(3, 2, 1, count_include_pad=False)", "AvgPool2D(3, 2, 1)", _IMAGE),
    layer("AvgPool2d(3, 2, 1, count_include_pad=False)", "AvgPool2D(3, 2, 1, exclusive=True)", _IMAGE),
    layer("AvgPool2d(2, 2, ceil_mode=True)", "", _IMAGE),
    layer("AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)", "AvgPool2D(2, 2, ceil_mode=True)", _IMAGE),
    layer("AvgPool2d(3, 2, 1, True, True)", "AvgPool2D(3, 2, 1, True, False)", real(2, 3, 8, 8)),
    layer("AvgPool2d(3, 2, 1, True, False)", "AvgPool2D(3, 2, 1, True, True)", real(2, 3, 8, 8)),
    layer("AvgPool2d(3, divisor_override=5)", "", _IMAGE),
    layer("AvgPool3d(3)", "", _VOLUME),
    layer("AvgPool3d(2)", "", _VOLUME),
    layer("AvgPool3d(3, 2, 1)", "AvgPool3D(3, 2, 1, exclusive=False)", _VOLUME),
    layer("AdaptiveAvgPool1d(1)", "", _LINE),
    layer("AdaptiveAvgPool1d(4)", "", _LINE),
    layer("AdaptiveAvgPool2d(1)", "", _IMAGE),
    layer("AdaptiveAvgPool2d(1)", "", real(2, 3, 8, 8)),
    layer("AdaptiveAvgPool2d((3, 4))", "", _UNEVEN),
    layer("AdaptiveAvgPool2d((1, 1))", "", _UNEVEN),
    layer("AdaptiveAvgPool3d(1)", "", _VOLUME),
    layer("AdaptiveAvgPool3d((2, 3, 4))", "", _VOLUME),
    layer("AdaptiveMaxPool1d(4)", "", _LINE),
    layer("AdaptiveMaxPool2d(1)", "", _IMAGE),
    layer("AdaptiveMaxPool2d((3, 4))", "", _UNEVEN),
    layer("AdaptiveMaxPool3d((2, 3, 4))", "", _VOLUME),
    layer("LPPool1d(2, 3)", "", _LINE),
    layer("LPPool2d(2, 3)", "", _IMAGE),
    layer("LPPool2d(3, 2, 1)", "", _IMAGE),
    function("x.mean((2, 3))", "", _IMAGE),
    function("F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)", "", real(2, 3, 6, 6)),
)
