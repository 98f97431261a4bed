"""Objects named by a string, and what is said of a user's file that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignment.errors import AlignmentError
from alignment.pair import load_pair
from alignment.pair.targets import resolve, split


@pytest.mark.parametrize("target", ["a.py", "a.py:", ":b", "a.py:b c", "a:b..c", "a:.b"])
def test_a_target_of_another_form_is_refused(target: str) -> None:
    with pytest.raises(AlignmentError, match="names no Python object"):
        split(target)


def test_an_attribute_may_have_dots() -> None:
    assert resolve("json:decoder.JSONDecoder") is resolve("json:JSONDecoder")
    with pytest.raises(AlignmentError, match=r"json has no 'JSONDecodr'; did you mean JSONDecoder\?"):
        resolve("json:decoder.JSONDecodr")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "from alignment.pair import Pair\n\nPAIR = Pear(\n    name='x',\n)\n",
            ("NameError: name 'Pear' is not defined", "line 3, in <module>", "PAIR = Pear("),
        ),
        (
            "def PAIR():\n    return {}['name']\n",
            ("KeyError: 'name'", "line 2, in PAIR", "return {}['name']"),
        ),
        ("PAIR = (\n", ("SyntaxError: '(' was never closed", "line 1", "PAIR = (")),
        (
            "import no_such_module\n",
            ("No module named 'no_such_module'", "line 1, in <module>", "import no_such_module"),
        ),
    ],
)
def test_an_error_in_a_pair_file_has_message_place_and_statement(
    text: str, lines: tuple[str, str, str], tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AlignmentError) as caught:
        load_pair(str(path))
    said = str(caught.value).splitlines()
    assert len(said) == 3
    assert all(part in line for part, line in zip(lines, said, strict=True))
    assert f'File "{path}"' in said[1]


def test_what_the_toolkit_says_of_a_pair_and_a_framework_that_is_missing_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from alignment.pair import Side\nPAIR = Side('torhc', 'a:b')\n", encoding="utf-8")
    with pytest.raises(Exception, match="unknown framework 'torhc'; did you mean torch"):
        load_pair(str(path))
    missing = tmp_path / "missing.py"
    missing.write_text("raise ModuleNotFoundError('none', name='torch.nn')\n", encoding="utf-8")
    with pytest.raises(ModuleNotFoundError):
        load_pair(str(missing))


@pytest.mark.parametrize(("code", "shown"), [("", "None"), ("0", "0"), ("'done'", "'done'")])
def test_a_file_that_ends_the_program_is_an_error_with_its_line(tmp_path: Path, code: str, shown: str) -> None:
    path = tmp_path / "ends.py"
    path.write_text(f"import sys\n\nsys.exit({code})\n")
    with pytest.raises(AlignmentError) as caught:
        resolve(f"{path}:PAIR")
    assert caught.value.summary == f"ends.py cannot be imported: it ends the program with sys.exit({shown})"
    assert caught.value.details == (f'File "{path}", line 3, in <module>', f"  sys.exit({code})")
