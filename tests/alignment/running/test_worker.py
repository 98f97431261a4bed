"""What a worker checks before it builds its model."""

from pathlib import Path

import pytest

from alignment.errors import RefusedError
from alignment.pair.published import build
from alignment.processes.settings import Settings
from alignment.running.prepare import batch_of, prepare, workspace
from alignment.running.request import Request
from alignment.running.worker import load_job


def test_worker_refuses_inputs_with_another_digest_than_its_request(tmp_path: Path) -> None:
    pair, settings = build("pit_micro", image_size=32, num_classes=10), Settings(steps=("forward",), batch_size=1)
    with workspace(tmp_path) as folder:
        request = Request.read(prepare(pair, folder, settings).write_request("candidate"))
        batch_of(pair, Settings(batch_size=1, seed=1)).write(folder / "inputs.safetensors")
        with pytest.raises(RefusedError, match=r"inputs\.safetensors: the inputs are not those of this run \(digest"):
            load_job(request)
