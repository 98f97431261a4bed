"""The source of a port with a mistake in it, in the place of the port for as long as a context lasts."""

from __future__ import annotations

import importlib
import linecache
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from benchmarks.mistakes.mistake import Mistake


@contextmanager
def planted(modules: Sequence[str], mistake: Mistake | None) -> Iterator[None]:
    """Execute the modules of a port anew, one of them changed.

    Args:
        modules: Each before those that import it.
        mistake: What to change; None changes nothing.

    Raises:
        ValueError: The text to replace is not in the source exactly once.
    """
    originals = [importlib.import_module(name) for name in modules]
    if mistake is None:
        yield
        return
    sources = {module.__name__: Path(str(module.__file__)).read_text() for module in originals}
    holders = [name for name, source in sources.items() if mistake.old in source]
    name = mistake.module or (holders[-1] if holders else "")
    count = sources.get(name, "").count(mistake.old)
    if count != 1:
        raise ValueError(f"{mistake.net}, {mistake.name}: the text is there {count} times: {mistake.old!r}")
    try:
        for module in originals:
            source = sources[module.__name__]
            _execute(module, source.replace(mistake.old, mistake.new) if module.__name__ == name else source)
        yield
    finally:
        sys.modules.update({module.__name__: module for module in originals})


def _execute(original: ModuleType, source: str) -> None:
    """Put a module of this source in the place of another one; the lines can be shown."""
    module = ModuleType(original.__name__, original.__doc__)
    path = f"{Path(str(original.__file__)).stem}.py"
    module.__dict__.update(__file__=original.__file__, __package__=original.__package__, __spec__=original.__spec__)
    sys.modules[original.__name__] = module
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102 - a port's own source, one line of it changed
