"""docs/your-own-pair.md: its commands run as written, in order, in one folder, and its code equals the example's."""

from __future__ import annotations

import json
import re

import pytest

from tests import prose
from tests.prose import ROOT

PAGE = (ROOT / "docs" / "your-own-pair.md").read_text()
REFERENCE = (ROOT / "docs" / "reference" / "pairs.md").read_text()
COMMANDS = re.findall(r"^\$ ((?:pit-align|pit-port|python) .*?)(?:  # exits (\d))?$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the output of each command, which must exit as the page says."""
    folder = tmp_path_factory.mktemp("own-pair")
    (folder / "examples").symlink_to(ROOT / "examples")
    printed = {command: prose.run(command, folder, int(code or 0)) for command, code in COMMANDS}
    bisection = json.loads((folder / "logs" / "resnet10-diagnose" / "bisection.json").read_text())
    return {**printed, "findings": json.dumps(bisection["findings"])}


def test_page_has_commands_for_every_section() -> None:
    words = [command.split()[1] for command, _ in COMMANDS if not command.startswith("python")]
    assert words == [
        *("rules", "all", "all", "all", "gate", "gate", "diagnose"),
        *("convert", "verify", "rules", "convert", "diff"),
        *("training", "regularisation"),
    ]


def test_commands_run_as_written_and_print_what_the_page_shows(outputs: dict[str, str]) -> None:
    printed = " ".join("\n".join(outputs.values()).split())
    for line in (
        "resnet10: torch -> paddle, 62 tensors (62 by structure; 12 dropped)",
        "resnet10: DIVERGENCE",
        "36 of 246 rows diverge, the first is batchnorm/running/bn1.running_mean (float64)",
        "resnet10: SAME FUNCTION",
        "1. module layer3.0.downsample.1, blocks.2.shortcut.1 in the candidate, forward",
        "cause: its epsilon is 0.001, not 1e-05",
        "look at blocks.2.shortcut.1: epsilon of its BatchNorm2D",
        "Wrote mine.pdparams (pdparams, layout candidate (paddle))",
        "verified: mine.pdparams (in paddle), a port of mine.pth (in torch)",
        "  forward  same function: float64 agrees in the one quantity",
        "trained: SAME FUNCTION",
        "   cause: {0..1,4}.bias, 1.weight decay by 0.05, and should not decay",
    ):
        assert line in PAGE, line
        assert " ".join(line.split()) in printed, line


def test_diagnosis_of_one_mistake_has_one_finding(outputs: dict[str, str]) -> None:
    findings = json.loads(outputs["findings"])
    assert {finding["candidate"] for finding in findings} == {"blocks.2.shortcut.1"}


def test_code_of_the_page_equals_the_example() -> None:
    example = (ROOT / "examples" / "resnet_pair.py").read_text()
    first, mended = prose.blocks(PAGE, "python")[0:3:2]
    assert first.partition("def reference")[2].strip() in example
    assert mended.splitlines()[-1] in example
    assert prose.blocks(PAGE, "python")[3].strip() in (ROOT / "examples" / "train_pair.py").read_text()


@pytest.mark.parametrize("block", prose.blocks(REFERENCE, "python"))
def test_pairs_of_the_reference_page_can_be_declared(block: str) -> None:
    names: dict[str, object] = {}
    exec("from alignment.pair import Floats, Mask, Pair, Side, Tokens\n" + block, names)
