"""What a planted mistake is, and what came out of it."""

from __future__ import annotations

from dataclasses import dataclass

SINGLE = "single"
"""Folder of what is recorded of one input alone."""


@dataclass(frozen=True)
class Net:
    """A pair of a reference and its port.

    Attributes:
        title: For the table.
        modules: The modules of the port's source, each before those that import it.
        short: Further words for the page: who wrote both sides.
    """

    title: str
    modules: tuple[str, ...]
    short: str = ""


@dataclass(frozen=True)
class Mistake:
    """A change in the source of a port.

    Attributes:
        name: What is wrong; unique within its net.
        net: Key in `NETS`.
        old: Text of the source that is replaced once.
        new: What takes its place.
        guilty: Patterns, with | between them, of the candidate's path of the module that is to be blamed, or the one
            around it.
        cause: Regular expression that the sentence of the cause contains.
        module: Module of the source; by default the last one of the net that has the text.
        hidden: It agrees on ordinary inputs in evaluation mode.
    """

    name: str
    net: str
    old: str
    new: str
    guilty: str
    cause: str
    module: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class Outcome:
    """What `diagnose` said of a planted mistake.

    Attributes:
        net: Key in `NETS`.
        name: The mistake; empty for the port as it is.
        detected: Something differs.
        localised: Every module that is blamed is the right one.
        named: The cause is the right one.
        wrong: A cause that is not the right one was named.
        guilty: Paths of what was blamed, in the candidate.
        says: Sentence of the first cause.
        look_at: Where it says to look.
        seconds: Time of the search.
    """

    net: str
    name: str
    detected: bool
    localised: bool
    named: bool
    wrong: bool
    guilty: tuple[str, ...]
    says: str
    look_at: str
    seconds: float
