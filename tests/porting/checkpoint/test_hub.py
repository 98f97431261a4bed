"""`hf://owner/name[@revision][/file]`, against a fake of the hub's HTTP interface on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from porting.architectures import build
from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.checkpoint.hub import Address, HubError
from porting.conversion import write_random

ROOT = Path(__file__).parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = build("pit_ti", image_size=32, num_classes=3)
needs_hub = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="huggingface_hub is not installed; it is the hub extra"
)


TOOL = """
import time, cli
time.sleep = lambda seconds: None  # between the attempts to reach a hub that is not there
cli.pit_port(prog_name="pit-port")
"""
INSPECT_ALL = """
import json, sys, time, cli
from click.testing import CliRunner
time.sleep = lambda seconds: None
results = {}
for words in sys.argv[1:]:
    result = CliRunner().invoke(cli.pit_port, ["inspect", *words.split()], prog_name="pit-port")
    results[words] = result.exit_code, result.stdout, result.stderr
print(json.dumps(results))
"""


class FakeHub(ThreadingHTTPServer):
    """Repositories of files, by `owner/name`; a status and error code stand for one that is not given out."""

    daemon_threads = True

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes] | tuple[int, str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's own name)
        self.server.requests.append(f"{self.command} {self.path}")

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        listing = parts[:2] == ["api", "models"]
        repository, rest = "/".join(parts[2:4] if listing else parts[:2]), parts[4:] if listing else parts[2:]
        files = self.server.repositories.get(repository, (404, "RepoNotFound"))
        if isinstance(files, tuple):
            return self._refuse(*files)
        if rest and rest[1:2] not in ([], ["main"], [COMMIT], ["v1"]):
            return self._refuse(404, "RevisionNotFound")
        if listing:
            entries = [{"type": "file", "path": name, "size": 1, "oid": COMMIT} for name in files]
            info = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            return self._send(json.dumps(entries if rest[:1] == ["tree"] else info).encode())
        content = files.get("/".join(rest[2:]))
        return self._refuse(404, "EntryNotFound") if content is None else self._send(content)

    def _send(self, content: bytes) -> None:
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[start:])

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sharded(folder: Path, names: list[str]) -> dict[str, bytes]:
    """The weights in two shards and their index, the second shard under another name if one is given."""
    with open_checkpoint(folder / "model.safetensors") as checkpoint:
        arrays = {name: np.array(tensor.load()) for name, tensor in checkpoint.tensors.items()}
    halves = {names[0]: list(arrays)[:80], names[1]: list(arrays)[80:]}
    shards: dict[str, bytes] = {}
    for shard, keys in halves.items():
        target = folder / "shard.safetensors"
        write_checkpoint(target, {key: LazyTensor.of(arrays[key]) for key in keys}, overwrite=True)
        shards[shard] = target.read_bytes()
        target.unlink()
    weight_map = {key: shard for shard, keys in halves.items() for key in keys}
    return shards | {"model.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": weight_map}).encode()}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    folder = tmp_path_factory.mktemp("files")
    for name in ("model.safetensors", "pytorch_model.bin", "pit.pdparams"):
        write_random(SMALL, folder / name)
    files = files_of(folder)
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    server = FakeHub(
        {
            "timm/both": {name: files[name] for name in ("model.safetensors", "pytorch_model.bin")},
            "timm/old": {"pytorch_model.bin": files["pytorch_model.bin"], "README.md": b"#"},
            "big/shards": sharded(folder, shards),
            "evil/shards": sharded(folder, [shards[0], "../../../../evil.safetensors"]),
            "paddle/one": {"pit.pdparams": files["pit.pdparams"], "README.md": b"#"},
            "paddle/two": {"a.pdparams": files["pit.pdparams"], "b.pdparams": files["pit.pdparams"]},
            "paddle/none": {"README.md": b"#"},
            "meta/gated": (403, "GatedRepo"),
            "meta/private": (401, "RepoNotFound"),
            "meta/broken": (500, ""),
        }
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def pit_port(
    *words: str | Path, url: str, cache: Path, script: str = TOOL, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": url, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1", **more}
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


CHOSEN = {
    "hf://timm/both": ("safetensors", ["model.safetensors"]),
    "hf://timm/both@v1/pytorch_model.bin": ("torch-zip", []),
    "hf://timm/old": ("torch-zip", ["pytorch_model.bin"]),
    "hf://big/shards": ("safetensors", ["model.safetensors.index.json", "2 shards"]),
    "hf://paddle/one": ("pdparams", ["pit.pdparams"]),
}
REFUSED = {
    "hf://nobody/none": "is not on the hub, or private; check its name, or set HF_TOKEN",
    "hf://meta/private/pit.pth": "is not on the hub, or private",
    "hf://meta/gated": "is gated: accept its terms at http://127.0.0.1:",
    "hf://timm/both/pit.pth": "there is no pit.pth in it; give hf://timm/both alone to find its checkpoint",
    "hf://timm/both@v2/model.safetensors": "has no revision v2",
    "hf://paddle/two": "there are a.pdparams, b.pdparams; name it: hf://paddle/two/FILE",
    "hf://paddle/none": "it has none of model.safetensors, pytorch_model.bin",
    "hf://evil/shards": "places tensors in '../../../../evil.safetensors', expected the name of a file beside it",
    "hf://meta/broken/pit.pth": "by hand and give its path",
    "hf://timm": "is no address on the hub, expected hf://owner/name",
    "hf://timm/both/../../x": "names no file of a repository",
}


@pytest.fixture(scope="module")
def inspections(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """Exit code, standard output and standard error of `inspect`, by its arguments; all in one process."""
    arguments = (*(f"{address} --json" for address in CHOSEN), *REFUSED)
    done = pit_port(*arguments, url=hub.url, cache=tmp_path_factory.mktemp("cache"), script=INSPECT_ALL)
    assert (done.returncode, done.stderr) == (0, "")
    return {words: tuple(result) for words, result in json.loads(done.stdout).items()}


@needs_hub
@pytest.mark.parametrize("address", CHOSEN)
def test_address_stands_for_the_usual_file(address: str, inspections: Mapping[str, tuple[int, str, str]]) -> None:
    code, out, err = inspections[f"{address} --json"]
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert (report["model"], report["format"], report["envelope"]) == ("pit_ti", *CHOSEN[address])
    assert report["path"] == address


@needs_hub
def test_converted_from_the_hub_is_read_offline_from_the_cache(hub: FakeHub, tmp_path: Path) -> None:
    target, cache = tmp_path / "pit.pdparams", tmp_path / "cache"
    done = pit_port("convert", "hf://timm/both", target, url=hub.url, cache=cache)
    assert done.returncode == 0, done.stderr
    assert "hf://timm/both (safetensors, layout canonical)" in done.stdout
    requests = len(hub.requests)
    offline = pit_port("diff", "hf://timm/both", target, url=hub.url, cache=cache, HF_HUB_OFFLINE="1")
    assert (offline.returncode, offline.stdout) == (0, "same: all 160 tensors are bit-equal\n"), offline.stderr
    assert len(hub.requests) == requests


@needs_hub
@pytest.mark.parametrize("address", REFUSED)
def test_address_without_a_file_is_one_line(address: str, inspections: Mapping[str, tuple[int, str, str]]) -> None:
    code, out, err = inspections[address]
    assert code == 3, out
    assert err.startswith("pit-port: hf://")
    assert REFUSED[address] in err
    assert len(err.splitlines()) == 1


@needs_hub
@pytest.mark.parametrize("offline", ["0", "1"])
def test_unreachable_hub_names_the_address_to_download(tmp_path: Path, offline: str) -> None:
    url = "http://127.0.0.1:9"  # nobody listens there
    done = pit_port("inspect", "hf://timm/both/model.safetensors", url=url, cache=tmp_path, HF_HUB_OFFLINE=offline)
    assert done.returncode == 3, done.stdout
    assert done.stderr == (
        "pit-port: hf://timm/both/model.safetensors: the hub cannot be reached and the file is not in the cache; "
        "download http://127.0.0.1:9/timm/both/resolve/main/model.safetensors by hand and give its path\n"
    )


def test_missing_huggingface_hub_names_the_command() -> None:
    code = "import sys\nsys.modules['huggingface_hub'] = None\nimport cli; cli.pit_port(prog_name='pit-port')"
    done = subprocess.run(
        [sys.executable, "-c", code, "inspect", "hf://timm/both"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert done.stderr == (
        f"pit-port: hf://timm/both: needs huggingface_hub: {sys.executable} -m pip install "
        "'huggingface_hub>=0.25,<3'; or download the file by hand and give its path\n"
    )


def test_the_package_is_imported_only_for_addresses(tmp_path: Path) -> None:
    write_random(SMALL, tmp_path / "pit.pth")
    code = (
        "import sys\nfrom porting.describe import describe\nimport porting.checkpoint.hub\n"
        "describe(sys.argv[1])\nassert 'huggingface_hub' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "pit.pth"], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://timm/pit_b_224.in1k", Address("timm/pit_b_224.in1k")),
        ("hf://timm/pit@main/sub/model.bin", Address("timm/pit", "main", "sub/model.bin")),
        ("hf://timm/pit@refs/pr/1", Address("timm/pit", "refs/pr/1")),
        ("hf://timm/pit@a%2Fb/x.bin", Address("timm/pit", "a/b", "x.bin")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    "text", ["hf://", "hf://a", "hf://a/", "hf://a/b/", "hf://a/b//c", "hf://a/b/../c", "hf://a/b@"]
)
def test_malformed_addresses(text: str) -> None:
    with pytest.raises(HubError, match="hf://"):
        Address.parse(text)
