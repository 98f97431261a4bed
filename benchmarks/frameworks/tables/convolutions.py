"""Convolutions and products."""

from benchmarks.frameworks.case import layer, real

_LINE, _IMAGE, _VOLUME = real(2, 4, 9), real(2, 4, 8, 7), real(2, 4, 5, 4, 6)

CASES = (
    layer("Linear(5, 3)", "", real(4, 5)),
    layer("Linear(5, 3, bias=False)", "", real(2, 4, 5)),
    layer("Bilinear(3, 4, 5)", "", real(6, 3), real(6, 4)),
    layer("Conv1d(4, 6, 3)", "", _LINE),
    layer("Conv1d(4, 6, 3, 2, 2, 2, 2)", "", _LINE),
    layer("Conv1d(4, 6, 4, padding='same')", "", _LINE),
    layer("Conv1d(4, 4, 3, padding=1, padding_mode='circular')", "", _LINE),
    layer("Conv2d(4, 6, 3)", "", _IMAGE),
    layer("Conv2d(4, 6, 3, bias=False)", "", _IMAGE),
    layer("Conv2d(4, 6, 1)", "", _IMAGE),
    layer("Conv2d(4, 6, (3, 2), (2, 1), (1, 0))", "", _IMAGE),
    layer("Conv2d(4, 6, 3, padding=2, dilation=2)", "", _IMAGE),
    layer("Conv2d(4, 6, 3, groups=2)", "", _IMAGE),
    layer("Conv2d(4, 8, 3, 2, 1, groups=4)", "", _IMAGE),
    layer("Conv2d(4, 6, 3, padding='same')", "", _IMAGE),
    layer("Conv2d(4, 6, 4, padding='same')", "", _IMAGE),
    layer("Conv2d(4, 6, 3, padding='same', dilation=2)", "", _IMAGE, note="padding='SAME' sets the dilation to 1"),
    layer("Conv2d(4, 6, 3, 2, padding='valid')", "", _IMAGE),
    layer("Conv2d(4, 6, 3, padding=1, padding_mode='reflect')", "", _IMAGE),
    layer("Conv2d(4, 6, 3, padding=1, padding_mode='replicate')", "", _IMAGE),
    layer("Conv2d(4, 6, 3, padding=1, padding_mode='circular')", "", _IMAGE),
    layer("Conv2d(4, 6, 5, 2, 2, padding_mode='circular')", "", _IMAGE),
    layer("Conv3d(4, 6, 3)", "", _VOLUME),
    layer("Conv3d(4, 6, 3, 2, 1, groups=2)", "", _VOLUME),
    layer("ConvTranspose1d(4, 6, 3, 2, 1)", "", _LINE),
    layer("ConvTranspose1d(4, 6, 3, 2, 1, 1, 2)", "", _LINE),
    layer("ConvTranspose2d(4, 6, 3)", "", _IMAGE),
    layer("ConvTranspose2d(4, 6, 3, 2, 1, 1)", "", _IMAGE),
    layer("ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2)", "", _IMAGE),
    layer("ConvTranspose2d(4, 6, 3, 2, 1, 1, dilation=2)", "", _IMAGE),
    layer("ConvTranspose3d(4, 6, 3, 2, 1)", "", _VOLUME),
)
