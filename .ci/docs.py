"""Write the pages that are made from the program: ``make docs``. ``--check`` only compares.

* docs/reference/cli.md: every command and option at 80 columns;
* docs/reference/api.md: every public name and field; formats.md there: what is stored how;
* docs/reference/plan-file.schema.json: ``plan schema``;
* docs/evidence/data/validation-sample.csv: ``plan lab validate`` on the sample that ships;
* docs/evidence/claims.md and its data: ``plan lab claims --markdown``;
* README.md and README.zh.md: the answer shown under the first command;
* docs/guide/replay.md: the answers shown under its commands;
* the pages in Chinese: the blocks of commands and answers of the English ones.

It then reads every relative link of every Markdown page.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import io
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 80
ASKED = "plan deepseek-v3 h200-sxm --devices 8 --workload rag"
SKIPPED = (".venv", ".engines", ".git", "out", "dist", "build", "node_modules")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(?:console|text|python)\n.*?^```$", flags=re.MULTILINE | re.DOTALL)
_ANSWER = re.compile(
    rf"(```console\n\$ {re.escape(ASKED)}\n```\n\n```text\n)(.*?)(^```$)",
    flags=re.MULTILINE | re.DOTALL,
)
_ANSWERED = re.compile(
    r"^(```console\n\$ plan ([^\n]+)\n```\n\n```text\n)(.*?)(^```$)",
    flags=re.MULTILINE | re.DOTALL,
)
CLI_HEAD = """# Command line

Every command and option; made from `--help` by `make docs`. `plan MODEL DEVICE` is short for `plan
plan MODEL DEVICE`. Numbers may be written `131072`, `131_072`, `128k` or `1M` (powers of 1,024).
The answer is on stdout; assumptions, notes and errors are on stderr. Exit codes: 0 ok, 1 no
feasible plan or a failed gate, 2 usage or input, 130 interrupted (143 by SIGTERM, 129 by a closed
terminal). `NO_COLOR` switches colour off, `COLUMNS` sets the width. From Python: [API](api.md);
words: [terms](vocabulary.md).

## Shell completion

`plan completion SHELL` prints a script that completes commands, options, models, devices, schemes,
cache layouts, engines and scenarios. Put its line into the shell's start-up file:

| shell | line | file |
|---|---|---|
| bash ≥ 4.4 | `eval "$(plan completion bash)"` | `~/.bashrc` |
| zsh | `eval "$(plan completion zsh)"` | `~/.zshrc` |
| fish | `plan completion fish \\| source` | `~/.config/fish/config.fish` |
"""
CLAIMS_HEAD = """# An article's claims, recomputed

What a web article says of FP8 and INT8 for DeepSeek's models, claim by claim. A claim is *wrong*
where its figure lies outside the computed one, *imprecise* where a part of it holds. Made from
`plan lab claims --markdown` by `make docs`; the data have each quote, the computed figures with
what they rest on, the verdict of version 0.1 and the sources.
"""


def _script(path: Path) -> Any:
    """A file that is no part of a package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_reference = _script(Path(__file__).with_name("reference.py"))


def cli_reference() -> str:
    """docs/reference/cli.md."""
    pages: Any = _script(Path(__file__).with_name("cli_pages.py"))
    return f"{CLI_HEAD.strip()}\n\n{pages.reference(COLUMNS)}\n"


def sample_rows() -> str:
    """docs/evidence/data/validation-sample.csv."""
    from evaluation.pages import as_csv
    from planner.lab.validation.grouping import summary
    from planner.lab.validation.run import validate

    table_of = _script(ROOT / "benchmarks" / "throughput_validation.py").table_of
    return as_csv(table_of(summary(validate(None).outcomes), ("table", "metric", "regime")))[0]


@functools.cache
def claims_page() -> tuple[str, str]:
    """docs/evidence/claims.md and data/claims.csv."""
    import planner
    from evaluation.pages import moved, narrow, split
    from planner.lab.article.text import claims_markdown

    title, score, turned, table = claims_markdown(planner.claims().to_dict()).split("\n\n")
    page, data = split(
        f"{CLAIMS_HEAD}\nThe article: {title.removeprefix('# ')}. {score}; {turned}.\n\n"
        f"{narrow(table, (0, 1, 3))}\n\n{moved('claims', 'Quotes, figures, sources', table)}\n"
    )
    return page, data["claims"]


def answer() -> str:
    """What the README shows: the answer of the terminal, as it is."""
    import planner
    from planner.report.render.plan_text import plan_text

    return plan_text(planner.plan("deepseek-v3", "h200-sxm", devices=8, workload="rag"))


def readme(name: str) -> str:
    """A README with the answer of today."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert _ANSWER.search(text), f"{name} does not show the first command and its answer"
    shown = answer()
    return _ANSWER.sub(lambda m: m[1] + shown + m[3], text)


def guide(name: str) -> str:
    """A guide with today's answer under each command that has one below it."""
    from planner.cli.main import run

    def printed(found: re.Match[str]) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert run(shlex.split(found[2])) == 0, found[2]
        return found[1] + out.getvalue() + found[4]

    text, count = _ANSWERED.subn(printed, (ROOT / name).read_text(encoding="utf-8"))
    assert count, f"{name} shows no command with its answer"
    return text


def chinese(name: str) -> str:
    """A page in Chinese with the blocks of the English one: commands and answers under other words.

    Raises:
        ValueError: one page has a block that the other has not.
    """
    english = CHINESE[name]
    text = (ROOT / name).read_text(encoding="utf-8")
    theirs = _BLOCK.findall(
        readme(english) if english == "README.md" else (ROOT / english).read_text(encoding="utf-8")
    )
    if len(theirs) != len(_BLOCK.findall(text)):
        raise ValueError(
            f"{english} and {name} have different numbers of blocks: add the "
            "missing one, with a sentence before it, to the other page"
        )
    following = iter(theirs)
    return _BLOCK.sub(lambda m: next(following), text)


def plan_schema() -> str:
    """docs/reference/plan-file.schema.json."""
    from planner.planning.plan.schema import plan_json_schema

    return json.dumps(plan_json_schema(), indent=2, ensure_ascii=False) + "\n"


CHINESE = {"README.zh.md": "README.md", "docs/guide/start.zh.md": "docs/guide/start.md"}
"""Pages in Chinese, and those that they say."""
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/cli.md": cli_reference,
    "docs/reference/api.md": _reference.api_page,
    "docs/reference/formats.md": _reference.formats_page,
    "docs/reference/plan-file.schema.json": plan_schema,
    "docs/evidence/data/validation-sample.csv": sample_rows,
    "docs/evidence/claims.md": lambda: claims_page()[0],
    "docs/evidence/data/claims.csv": lambda: claims_page()[1],
    "README.md": lambda: readme("README.md"),
    "docs/guide/replay.md": lambda: guide("docs/guide/replay.md"),
    **{name: functools.partial(chinese, name) for name in CHINESE},
}


def pages() -> list[Path]:
    """Every Markdown page of the repository."""
    return sorted(
        p for p in ROOT.rglob("*.md") if not set(p.relative_to(ROOT).parts) & set(SKIPPED)
    )


def anchors(text: str) -> set[str]:
    """The anchors that headings make: lower case, spaces as hyphens, marks left out."""
    heads = re.findall(r"^#+ +(.+)$", _FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def broken_links() -> Iterator[str]:
    """``page: link`` for every relative link that leads nowhere."""
    for page in pages():
        text = _FENCE.sub("", page.read_text(encoding="utf-8"))
        for link in _LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.exists() or (
                anchor
                and target.suffix == ".md"
                and anchor not in anchors(target.read_text(encoding="utf-8"))
            ):
                yield f"{page.relative_to(ROOT)}: {link}"


def main(arguments: list[str]) -> int:
    """Write or compare the pages; return 0 where nothing is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args(arguments)
    os.environ.update(COLUMNS=str(COLUMNS), NO_COLOR="1")
    wrong = 0
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            print(f"as it was  {name}")
        elif options.check:
            wrong += 1
            print(f"stale      {name}: `make docs` renews it")
        else:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"written    {name}")
    for problem in broken_links():
        wrong += 1
        print(f"broken     {problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
