"""The command line of this folder."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence

import click

from benchmarks.rules.drawing import draw, plant
from benchmarks.rules.families import FAMILIES
from benchmarks.rules.published import MODELS, Published
from benchmarks.rules.scoring import RIGHT, SYMMETRY, Drawn, Listing, Score, broken, listing, score

_MOST_LINES = 3
"""Of a list of differences with one real difference: that one, and two more."""


def _kind(line: str) -> str:
    """A line without names and numbers, so that those of one kind are one."""
    return re.sub(r"\(?\d[\d, ]*\)?", "#", line.partition(":")[0])[:60]


def _told(number: int, result: Score) -> None:
    if result.verdict != RIGHT:
        click.echo(f"{number} {result.draw.name}: {result.verdict}, {result.seconds:.1f} s", err=True)
        for line in result.lines[:6]:
            click.echo(f"    {line[:240]}", err=True)


def _summary(scores: Sequence[Score]) -> None:
    counts = Counter(result.verdict for result in scores)
    found = counts[RIGHT] + counts[SYMMETRY]
    click.echo(f"{len(scores)} draws: {found} found ({100 * found / len(scores):.1f} %)")
    click.echo(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    seconds = sorted(result.seconds for result in scores)
    click.echo(f"seconds: median {seconds[len(seconds) // 2]:.2f}, longest {seconds[-1]:.2f}")
    for family in sorted({result.draw.family for result in scores}):
        own = Counter(result.verdict for result in scores if result.draw.family == family)
        click.echo(f"  {family}: " + ", ".join(f"{count} {verdict}" for verdict, count in own.most_common()))
    kinds = Counter(
        _kind(line) for result in scores for line in result.lines if result.verdict not in (RIGHT, SYMMETRY)
    )
    for kind, count in kinds.most_common(8):
        click.echo(f"  {count} lines: {kind}")


def _planted(results: Iterable[Listing]) -> None:
    results = list(results)
    good = [result for result in results if result.named and len(result.lines) <= _MOST_LINES]
    click.echo(f"{len(results)} with one difference: {len(good)} named it in at most {_MOST_LINES} lines")
    click.echo(f"accepted all the same: {sum(result.accepted for result in results)}")
    click.echo(f"not named: {sum(not result.named and not result.accepted for result in results)}")
    click.echo(f"lines: {sorted(Counter(len(result.lines) for result in results).items())}")
    for result in results:
        if result not in good:
            click.echo(f"{result.draw.name}: {len(result.lines)} lines, planted {list(result.names)[:3]}", err=True)
            for line in result.lines[:4]:
                click.echo(f"    {line[:200]}", err=True)


@click.command()
@click.option("--draws", default=100, show_default=True, help="Number of pairs.")
@click.option("--seed", default=0, show_default=True, help="Of the first pair; the others follow.")
@click.option(
    "--family", "families", multiple=True, type=click.Choice([*FAMILIES, *MODELS]), help="These architectures only."
)
@click.option(
    "--candidate", default="torch", type=click.Choice(["torch", "paddle"]), help="Framework of the candidate."
)
@click.option(
    "--reference", default="torch", type=click.Choice(["torch", "paddle"]), help="Framework of the reference."
)
@click.option("--timm", is_flag=True, help="Models of timm against themselves in disguise, in the place of drawn ones.")
@click.option("--planted", is_flag=True, help="Plant one real difference into each pair, and count the lines.")
@click.option("--check", is_flag=True, help="Only check that both sides of each pair are one function.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False), help="Write a line for each pair here.")
def main(
    draws: int,
    seed: int,
    families: tuple[str, ...],
    candidate: str,
    reference: str,
    timm: bool,
    planted: bool,
    check: bool,
    as_json: str,
) -> None:
    """Measure derived rules on drawn pairs of which the truth is known."""
    warnings.simplefilter("ignore")
    numbers = range(seed, seed + draws)
    drawn = [draw(number, families, (reference, candidate)) for number in numbers] if not timm else []
    names = families or tuple(MODELS)
    published = [Published(number, names[number % len(names)], number % 2 == 1) for number in numbers] if timm else []
    pairs: Sequence[Drawn] = [*drawn, *published]
    if check:
        problems = {pair.name: problem for pair in pairs if (problem := broken(pair))}
        click.echo(f"{len(pairs)} draws: {len(problems)} are no pair")
        for name, problem in problems.items():
            click.echo(f"  {name}: {problem}")
    elif planted:
        _planted(map(listing, map(plant, drawn)))
    else:
        _scored(pairs, as_json)


def _scored(pairs: Sequence[Drawn], as_json: str) -> None:
    scores = []
    for pair in pairs:
        result = score(pair)
        _told(pair.seed, result)
        scores.append(result)
        if len(scores) % 25 == 0 and len(scores) < len(pairs):
            click.echo(f"{len(scores)} of {len(pairs)}", err=True)
    _summary(scores)
    if as_json:
        with click.open_file(as_json, "w") as file:
            for result in scores:
                row = {"name": result.draw.name, "verdict": result.verdict, "lines": list(result.lines)}
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
