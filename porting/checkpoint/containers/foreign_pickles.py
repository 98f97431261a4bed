"""What wrote a pickle whose globals are of no framework that is read here, and what to do with it."""

from __future__ import annotations

_TRUSTED = "If you trust its origin, load it with"
_ANY = f"{_TRUSTED} its own framework and save the state dict alone"
_BY_PACKAGE = {"joblib": f"It was written by joblib.dump. {_TRUSTED} joblib.load and save the arrays with numpy.savez"}
_BY_NAME = {
    ("torch.storage", "_load_from_bytes"): (
        f"It holds tensors of torch, written by pickle.dump. {_TRUSTED} pickle.load and save it with torch.save"
    ),
}


def writer_of(module: str, name: str) -> str:
    """Return what wrote a pickle that asks for this name of this module, if known, and what to do, as sentences."""
    return _BY_NAME.get((module, name)) or _BY_PACKAGE.get(module.partition(".")[0]) or _ANY
