"""Checkpoints on the Hugging Face hub, `hf://owner/name[@revision][/file]`, fetched by huggingface_hub.

The package is an extra, imported only when such an address is given. It keeps the cache, and reads `HF_HOME`,
`HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` from the environment.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

from porting.checkpoint.addresses import HUB
from porting.checkpoint.file.source import Source
from porting.checkpoint.format_names import INDEX, USUAL, usual
from porting.checkpoint.formats import sharded
from porting.errors import PortingError
from porting.installing import install_command

_ADDRESS = re.compile(
    rf"{HUB}(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/(?:pr|convert)/\w+|[^/@]+))?(?:/(?P<file>.+))?"
)


class HubError(PortingError):
    """An address on the hub that is malformed or cannot be fetched; the summary starts with it."""

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(f"{address}: {problem}")


class _UnreachableError(HubError):
    """The hub did not answer, and the file is not in the cache."""


@dataclass(frozen=True)
class Address:
    """A file, or a repository, on the hub.

    Attributes:
        repository: `owner/name`.
        revision: Branch, tag or commit; None for the default branch.
        file: Path within the repository; empty for the file that its users expect.
    """

    repository: str
    revision: str | None = None
    file: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address; raise `HubError` if it has another form, or its file is no path within a repository."""
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise HubError(text, f"is no address on the hub, expected {HUB}owner/name, @revision and /file as needed")
        file = match["file"] or ""
        if file and not all(part.strip(". ") and part.isprintable() for part in file.split("/")):
            raise HubError(text, "names no file of a repository")
        return cls(match["repository"], unquote(match["revision"]) if match["revision"] else None, file)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.repository}{revision}" + (f"/{self.file}" if self.file else "")

    def to(self, file: str) -> Address:
        """Return the address of another file of the repository."""
        return Address(self.repository, self.revision, file)


def fetch(text: str) -> tuple[Path, str, str]:
    """Fetch the file that an address stands for into huggingface_hub's cache; for an index, its shards too.

    Returns:
        The file, its full address, and its name if the address names a repository alone.

    Raises:
        HubError: The address is malformed, huggingface_hub is not installed, or the hub does not give the file.
    """
    address = Address.parse(text)
    client = _Client(address)
    if address.file:
        path = client.download(address.file)
    else:
        address, path = client.usual_file()
    if address.file.endswith(INDEX):
        client.download_shards(address, path)
    return path, str(address), "" if address == Address.parse(text) else address.file


class _Client:
    """One repository, through huggingface_hub."""

    def __init__(self, address: Address) -> None:
        self._address = address
        try:
            # By name, since porting works, and is type-checked, without the package.
            self._hub: Any = import_module("huggingface_hub")
            self._errors: Any = import_module("huggingface_hub.utils")
        except ImportError:
            raise HubError(
                str(address),
                f"needs huggingface_hub: {install_command('hub')}; or download the file by hand and give its path",
            ) from None

    def usual_file(self) -> tuple[Address, Path]:
        """Fetch the file that users of the repository expect, or the only one that may be a checkpoint."""
        unreachable: _UnreachableError | None = None
        for name in USUAL:
            try:
                path = self._try(name, cached_only=unreachable is not None)
            except _UnreachableError as error:
                unreachable = unreachable or error
                continue
            if path is not None:
                return self._address.to(name), path
        if unreachable is not None:
            raise unreachable
        names = usual(self._listed())
        if len(names) != 1:
            known = f"there are {', '.join(names[:5])}" if names else f"it has none of {', '.join(USUAL)}"
            raise HubError(str(self._address), f"which file is meant? {known}; name it: {self._address.to('FILE')}")
        return self._address.to(names[0]), self.download(names[0])

    def download(self, name: str) -> Path:
        """Fetch a file unless it is in the cache; raise `HubError` if that fails."""
        path = self._try(name)
        if path is None:
            address = self._address.to("")
            raise HubError(str(address), f"there is no {name} in it; give {address} alone to find its checkpoint")
        return path

    def download_shards(self, address: Address, index: Path) -> None:
        """Fetch the shards that an index names, beside it."""
        with Source.open(index, str(address)) as source:
            shards = sorted(set((sharded.read_index(source) or {}).values()))
        folder = address.file.rpartition("/")[0]
        for shard in shards:
            path = self.download(f"{folder}/{shard}" if folder else shard)
            if path.parent != index.parent:
                raise HubError(str(address), "changed while its shards were fetched; run this again")

    def _listed(self) -> list[str]:
        names = self._call("", self._hub.list_repo_files)
        return [str(name) for name in names or ()]

    def _try(self, name: str, *, cached_only: bool = False) -> Path | None:
        """Fetch a file; return None if the repository has none of the name."""
        path = self._call(name, self._hub.hf_hub_download, filename=name, local_files_only=cached_only)
        return None if path is None else Path(str(path))

    def _call(self, name: str, function: Callable[..., Any], **options: Any) -> Any:
        """Call a function of huggingface_hub; return None if the hub says that there is no file `name`."""
        errors = self._errors
        try:
            with _output_to_terminals_only(errors):
                return function(repo_id=self._address.repository, revision=self._address.revision, **options)
        except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError):
            problem = f"the hub cannot be reached and the file is not in the cache; {self._by_hand(name)}"
            raise _UnreachableError(str(self._address), problem) from None
        except errors.EntryNotFoundError:
            return None
        except errors.GatedRepoError:
            self._fail(f"is gated: accept its terms at {self._page()} and set HF_TOKEN; or {self._by_hand(name)}")
        except errors.RevisionNotFoundError:
            self._fail(f"has no revision {self._address.revision}; see its branches and tags at {self._page()}")
        except errors.RepositoryNotFoundError:
            self._fail("is not on the hub, or private; check its name, or set HF_TOKEN to a token that may read it")
        except Exception as error:  # the transport's errors differ between the versions of huggingface_hub
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._fail(f"cannot be fetched: {line:.300}; try again, or {self._by_hand(name)}")

    def _fail(self, problem: str) -> NoReturn:
        raise HubError(str(self._address), problem) from None

    def _page(self) -> str:
        return f"{self._hub.constants.ENDPOINT}/{self._address.repository}"

    def _by_hand(self, name: str) -> str:
        revision = self._address.revision or "main"
        url = f"{self._page()}/resolve/{revision}/{name}" if name else self._page()
        return f"download {url} by hand and give its path"


@contextmanager
def _output_to_terminals_only(utils: Any) -> Iterator[None]:
    """Hide progress bars and notes on retries, which go to standard error, unless that is a terminal."""
    if sys.stderr.isatty():
        yield
        return
    hidden, verbosity = utils.are_progress_bars_disabled(), utils.logging.get_verbosity()
    utils.logging.set_verbosity_error()
    if not hidden:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.logging.set_verbosity(verbosity)
        if not hidden:
            utils.enable_progress_bars()
