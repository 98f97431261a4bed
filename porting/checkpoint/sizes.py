"""Sizes in bytes, as people write them: 5GB, 500MB, 1GiB."""

from __future__ import annotations

import re

from porting.errors import SizeError

_UNITS = {
    **{unit: 1000**power for power, unit in enumerate(("B", "KB", "MB", "GB", "TB"))},
    **{unit: 1024**power for power, unit in enumerate(("KIB", "MIB", "GIB", "TIB"), 1)},
}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]+)", re.ASCII)


def nbytes_of(size: int | str) -> int:
    """Return a size in bytes.

    Args:
        size: Bytes, or a number with a unit in letters of any case. KB, MB, GB and TB are powers of 1000, as in
            transformers and huggingface_hub; KiB, MiB, GiB and TiB are powers of 1024; B is a byte.

    Raises:
        SizeError: It is none, or less than a byte.
    """
    match = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    if isinstance(size, str):
        unit = _UNITS.get(match[2].upper()) if match else None
        value = int(float(match[1]) * unit) if match and unit else 0
    else:
        value = size
    if value < 1:
        raise SizeError(f"{size!r:.50} is no size; give a number above 0 with its unit: 5GB, 500MB or 1GiB")
    return value
