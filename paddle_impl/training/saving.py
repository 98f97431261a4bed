"""The checkpoint files of a run, `latest`, `best` and those that are kept; none is ever seen half written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO
from uuid import uuid4

from porting.checkpoint.formats.nested import Tree, write_nested
from recipe.errors import TrainingError
from recipe.runs.locking import take
from recipe.runs.resuming import require_no_other_run, require_regular

LATEST, BEST = "latest.pdparams", "best.pdparams"


def epoch_name(epoch: int) -> str:
    """File name of the checkpoint that is kept after so many epochs."""
    return f"epoch_{epoch:04d}.pdparams"


class Store:
    """The folder that one run writes to; a context that locks it against a second run.

    Args:
        folder: Folder of the run, created if it is missing.
        writes: False on the ranks that do not write: there nothing is done.
    """

    def __init__(self, folder: Path, *, writes: bool = True) -> None:
        self.folder = folder
        self._writes = writes
        self._lock: IO[str] | None = None

    def __enter__(self) -> Store:
        if self._writes:
            self._lock = take(self.folder)
            for draft in self.folder.glob(".*.pdparams.*.part"):  # left by a run that was killed while it wrote
                draft.unlink(missing_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._lock is not None:
            self._lock.close()

    def save(self, tree: Mapping[str, Tree], also: Sequence[str] = ()) -> None:
        """Write a checkpoint under the names in `also`, then under `latest`.

        `latest` comes last: a run that is killed in between resumes from the one before and writes the others again.

        Args:
            tree: State that `state.capture` returned.
            also: Names of files to write as well.

        Raises:
            CheckpointError: The folder cannot be written.
        """
        if not self._writes:
            return
        first, *others = [*also, LATEST]
        write_nested(self.folder / first, tree)
        for name in others:
            self._publish_again(self.folder / first, self.folder / name)

    def _publish_again(self, written: Path, path: Path) -> None:
        """Give a written file another name; a link is enough, since files are replaced and never changed."""
        draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
        try:
            os.link(written, draft)
        except OSError:  # a file system without links
            shutil.copyfile(written, draft)
            with draft.open("rb") as file:
                os.fsync(file.fileno())
        draft.replace(path)


def checkpoint_to_resume(resume: str | os.PathLike[str] | None, output: Path) -> Path | None:
    """The checkpoint that a run resumes; None for a run that starts.

    Args:
        resume: A checkpoint, with or without its suffix, a folder with a `latest` one, `auto` for the output's
            `latest` if there is one, or None to start a run.
        output: Folder of the run.

    Raises:
        TrainingError: The checkpoint is missing, or a new run would overwrite the one in the output, or the log of one
            in another framework.
    """
    latest = output / LATEST
    if resume is None:
        if latest.exists():
            raise TrainingError(
                f"{output}: holds a run, which a new one would overwrite; resume it, or choose another run.output"
            )
        require_no_other_run(output, LATEST)
        return None
    if str(resume) == "auto":
        if latest.exists():
            return latest
        require_no_other_run(output, LATEST)
        return None
    path = Path(resume)
    path = path / LATEST if path.is_dir() else path
    if not path.exists() and (named := path.with_name(f"{path.name}.pdparams")).exists():
        path = named
    if not path.exists():
        raise TrainingError(f"{path}: there is no checkpoint to resume; check the path")
    require_regular(path)
    return path
