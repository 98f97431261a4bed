"""Add pages to the site that are not in docs/: the help of the commands, and files from elsewhere in the repository.

Links that leave docs/ work in the repository. On the site they point to the page made of that file, or become its path
as text.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "logs/README.md": "reference/logs.md",
}
_FILES = {"alignment/report/schema/gate.schema.json": "reference/gate.schema.json"}
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)#:\s]+)(?P<anchor>#[^)]*)?\)")
_WIDTH = 84


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that are not in docs/."""
    for source, page in (_PAGES | _FILES).items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    for name, text in _command_pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site."""
    origins = {made: source for source, made in _PAGES.items()}
    origin = origins.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def on_site(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link["target"]))
        site = (_PAGES | _FILES).get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(site) is None and (ROOT / path).exists() and not path.startswith("docs/"):
            return link["text"] if path in link["text"] else f"{link['text']} (`{path}`)"
        target = posixpath.relpath(site, posixpath.dirname(page.file.src_uri) or ".")
        return f"[{link['text']}]({target}{link['anchor'] or ''})"

    prose = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    if page.file.src_uri in origins:  # a picture's path is the repository's too
        prose = [part.replace("](docs/images/", "](images/") for part in prose]
    return "".join(part if part.startswith("```") else _LINK.sub(on_site, part) for part in prose)


def _command_pages() -> dict[str, str]:
    sys.path.insert(0, str(ROOT))
    import cli

    tools = {"pit-port": cli.pit_port, "pit-align": cli.pit_align, "pit-train": cli.pit_train}
    return {name: _manual(name, group) for name, group in tools.items()}


def _manual(name: str, group: click.Group) -> str:
    """Return a page with the help of a group and of its commands, as a terminal shows them."""
    context = click.Context(group, info_name=name, terminal_width=_WIDTH, **group.context_settings)
    parts = [f"# {name}\n", _shown(group.get_help(context))]
    for title, command in sorted(group.commands.items()):
        inner = click.Context(command, parent=context, info_name=title, terminal_width=_WIDTH)
        parts += [f"## {name} {title}\n", _shown(command.get_help(inner))]
    return "\n".join(parts)


def _shown(text: str) -> str:
    return f"```text\n{text}\n```\n"
