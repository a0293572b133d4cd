"""Whether a text that was written with a hostile string says anything else than with a harmless
one: scripts are run, the others are parsed again."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import shlex
import stat
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unicodedata import category

import yaml
from markdown_it import MarkdownIt

from benchmarks.injection.payloads import HARMLESS, LIVE

STUBS = (
    "vllm", "python", "python3", "trtllm-serve", "llama-server", "llama-quantize", "env",
    "mlx_lm.server", "numactl", "docker", "helm", "kubectl", "plan", "curl", "mpirun", "srun",
    "ssh", "hf", "convert_hf_to_gguf.py",
)  # fmt: skip
"""Programs of scripts and READMEs, each replaced by one that writes its words down."""
SHELL = "/bin/sh"
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
PLAIN = re.compile(r"[\w.:/ -]*")
"""A name that was made of another: nothing reads a character of it as its own."""
ARGUMENTS = ("first place", "second")
_LIVE_TAGS = frozenset(
    {"script", "iframe", "object", "embed", "link", "style", "meta", "base", "form", "img", "a"}
)
_CODE = re.compile(r"^```(?:sh|console|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@cache
def live(name: str, bad: str, good: str, payload: str) -> str:
    """Why the file ``name`` is live with ``payload`` in it; empty where it says what it says with
    the harmless word. ``good`` is the file with HARMLESS in the place of the payload."""
    if bad == good:
        return ""
    judge = next(judge for ending, judge in JUDGES.items() if name.endswith(ending))
    return judge(bad, good, payload)


def _script(bad: str, good: str, payload: str) -> str:
    for words in ((), ARGUMENTS):
        ran, meant = run(bad, words), run(good, words)
        if why := ran.unlike(meant, payload):
            return why
    return ""


class Ran:
    """What a script did: its exit status, the words of each program that it started, and the files
    that it left."""

    def __init__(self, status: int, calls: list[list[str]], left: list[str]) -> None:
        self.status, self.calls, self.left = status, calls, left

    def unlike(self, meant: Ran, payload: str) -> str:
        """How it differs from what is meant; empty where in the payload alone."""
        if self.left:
            return f"made the file {self.left[0]}"
        if self.status != meant.status:
            return f"ended with {self.status}, not {meant.status}"
        return same(self.calls, meant.calls, payload)


def run(script: str, words: tuple[str, ...]) -> Ran:
    """A script in a folder of its own, where the programs that it names are stubs."""
    with tempfile.TemporaryDirectory() as place:
        folder, bin_ = Path(place) / "here", Path(place) / "bin"
        bin_.mkdir()
        folder.mkdir()
        log = Path(place) / "log"
        for name in STUBS:
            stub = bin_ / name
            stub.write_text(
                f'#!{SHELL}\n{{ for word in "${{0##*/}}" "$@"; do printf "%s\\0" "$word"; done; '
                f'printf "\\1\\0"; }} >> {shlex.quote(str(log))}\n'
            )
            stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
        (folder / "script.sh").write_text(script, encoding="utf-8", newline="")
        done = subprocess.run(
            [SHELL, "script.sh", *words],
            cwd=folder,
            env={"PATH": f"{bin_}:/usr/bin:/bin", "HOME": place, "HF_TOKEN": "secret"},
            capture_output=True,
            check=False,
            timeout=60,
        )
        left = sorted({p.name for p in folder.iterdir()} - {"script.sh"})
        said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        calls = [one.split("\0")[:-1] for one in said.split("\1\0")[:-1]]
        return Ran(done.returncode, calls, left)


def same(found: Any, meant: Any, payload: str, place: str = "") -> str:
    """Where plain data differs from what is meant by more than the payload in a harmless word's
    place; empty where nowhere."""
    if type(found) is not type(meant):
        return f"{place}: a {type(found).__name__}, not a {type(meant).__name__}"
    if isinstance(found, dict):
        keys = [str(key).replace(HARMLESS, payload) for key in meant]
        if [str(key) for key in found] != keys:
            return f"{place}: other keys"
        pairs = zip(found, found.values(), meant.values(), strict=True)
        return next((why for k, a, b in pairs if (why := same(a, b, payload, f"{place}.{k}"))), "")
    if isinstance(found, (list, tuple)):
        if len(found) != len(meant):
            return f"{place}: {len(found)} items, not {len(meant)}"
        return next(
            (
                why
                for i, (a, b) in enumerate(zip(found, meant, strict=True))
                if (why := same(a, b, payload, f"{place}.{i}"))
            ),
            "",
        )
    if found == meant or not isinstance(found, str):
        return "" if found == meant else f"{place}: {found!r}"
    if found in (meant.replace(HARMLESS, form) for form in _forms(payload)):
        return ""
    if PLAIN.fullmatch(found) and not found.startswith("-"):
        return ""
    return f"{place}: {found[:80]!r}, not {meant[:80]!r}"


_LABEL, _FOLDER = r"[^a-z0-9]+", r"[^a-z0-9.]+"
"""What is no part of a label, and of the id that a folder's name becomes."""


def _forms(payload: str) -> tuple[str, ...]:
    """A payload as it is, as Compose takes its variables, with what cannot be seen spelt out, and
    as the label that an id is."""
    spelt_out = "".join(
        c if category(c) not in UNSEEN else c.encode("unicode_escape").decode() for c in payload
    )
    labels = (re.sub(kept, "-", payload.lower()).strip("-") for kept in (_LABEL, _FOLDER))
    return payload, payload.replace("$", "$$"), spelt_out, *labels


def _yaml(bad: str, good: str, payload: str) -> str:
    try:
        found = list(yaml.safe_load_all(bad))
    except yaml.YAMLError as error:
        return f"no YAML: {error}"
    meant = list(yaml.safe_load_all(good))
    if why := same(found, meant, payload):
        return why
    return next((why for one in found if (why := _expanded(one))), "")


def _expanded(value: Any) -> str:
    """A word that Kubernetes or Compose would put a variable into, or a shell run."""
    if isinstance(value, dict):
        return next((why for one in value.values() if (why := _expanded(one))), "")
    if isinstance(value, list):
        if value[:2] == ["sh", "-c"] and any(LIVE in str(word) for word in value[2:]):
            left = [file for word in value[2:] for file in run(word, ()).left]
            return f"a shell makes {left[0]}" if left else ""
        return next((why for one in value if (why := _expanded(one))), "")
    if isinstance(value, str) and re.search(r"(?<!\$)\$[({]HF_TOKEN", value) and "a/" in value:
        return f"a variable is put into {value[:60]!r}"
    return ""


def _json(bad: str, good: str, payload: str) -> str:
    try:
        return same(json.loads(bad), json.loads(good), payload)
    except ValueError as error:
        return f"no JSON: {error}"


def _python(bad: str, good: str, payload: str) -> str:
    def tree(text: str) -> list[Any]:
        return [
            node.value if isinstance(node, ast.Constant) else type(node).__name__
            for node in ast.walk(ast.parse(text))
        ]

    try:
        return same(tree(bad), tree(good), payload)
    except SyntaxError as error:
        return f"no Python: {error}"


def _markdown(bad: str, good: str, payload: str) -> str:
    """HTML, links and pictures, tables and headings as meant, and code that runs to nothing."""
    found, meant = (_shape(text) for text in (bad, good))
    if found != meant:
        extra = [one for one in found if one not in meant] or ["another number of blocks"]
        return f"other Markdown: {extra[0]}"
    if why := _unseen(bad):
        return why
    for code in _CODE.findall(bad):
        if (ran := run(code, ())).left:
            return f"a block of code makes {ran.left[0]}"
    return ""


def _shape(text: str) -> list[str]:
    out = []
    reader = MarkdownIt("commonmark").enable("table")
    reader.validateLink = lambda url: True  # type: ignore[method-assign]
    for token in reader.parse(text):
        if token.type == "html_block":
            out.append(f"html {token.content}")
        elif token.type == "inline":
            out += [
                f"{part.type} {part.content} {sorted(part.attrs.items())}"
                for part in token.children or ()
                if part.type in ("html_inline", "link_open", "image")
            ]
        elif token.nesting >= 0:
            out.append(token.type)
    return out


class _Page(HTMLParser):
    """Tags that do something, attributes, scripts and places that a page goes to."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.active: list[str] = []
        self.scripts: list[tuple[str, str]] = []
        self._in: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag in _LIVE_TAGS:
            self.active.append(f"{tag} {sorted(given)}")
        self.active += [f"{tag} {k}" for k in given if k.startswith("on")]
        self.active += [
            f"{k}={v}" for k, v in given.items() if k in ("href", "src", "xlink:href", "style")
        ]
        self._in = (given.get("type") or "") if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._in = None

    def handle_data(self, data: str) -> None:
        if self._in is not None:
            self.scripts.append((self._in, data))


def _html(bad: str, good: str, payload: str) -> str:
    found, meant = _Page(), _Page()
    found.feed(bad)
    meant.feed(good)
    # Reports link the addresses that their texts show; where such a link leads is read in its text.
    active = [
        one
        for one in found.active
        if not (one.startswith("href=http") and one.removeprefix("href=") in payload)
    ]
    linked = {"a"} if len(active) < len(found.active) else set()
    if sorted(active) != sorted(meant.active) or {*found.tags} - linked != {*meant.tags} - linked:
        more = [one for one in active if one not in meant.active]
        return f"other tags: {(more or ['fewer'])[0]}"
    if len(found.scripts) != len(meant.scripts):
        return "another number of scripts"
    for (kind, text), (_, other) in zip(found.scripts, meant.scripts, strict=True):
        why = _json(text, other, payload) if "json" in kind else "" if text == other else "script"
        if why:
            return f"a script: {why}"
    return _unseen(bad)


def _terminal(bad: str, good: str, payload: str) -> str:
    if why := _unseen(bad):
        return why
    at = bad.find("Run it")
    lines = bad[at:].splitlines()[1:] if at >= 0 else []
    command = "\n".join(line for line in lines if line.startswith("  ")).partition("\n\n")[0]
    taken = []
    for line in command.splitlines():
        taken.append(line)
        if not line.endswith("\\"):
            break
    ran = run("\n".join(taken) + "\n", ())
    return f"the command makes {ran.left[0]}" if ran.left else ""


def _unseen(text: str) -> str:
    bad = next((c for c in text if c not in "\n" and category(c) in UNSEEN), None)
    return "" if bad is None else f"holds U+{ord(bad):04X}"


def _table(bad: str, good: str, payload: str) -> str:
    rows, meant = (list(csv.reader(io.StringIO(text))) for text in (bad, good))
    if [len(row) for row in rows] != [len(row) for row in meant]:
        return "other rows or columns"
    cells = [cell for row in rows for cell in row if cell[:1] in "=+-@\t\r" and cell]
    known = {cell for row in meant for cell in row}
    computed = next((cell for cell in cells if cell not in known and not _number(cell)), None)
    return _unseen(bad) or ("" if computed is None else f"a cell that is computed: {computed!r}")


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _types(bad: str, good: str, payload: str) -> str:
    return same(bad.splitlines(), good.splitlines(), payload)


JUDGES: Mapping[str, Callable[[str, str, str], str]] = {
    ".sh": _script,
    ".yaml": _yaml,
    ".json": _json,
    ".py": _python,
    ".md": _markdown,
    ".html": _html,
    ".csv": _table,
    "terminal": _terminal,
    ".txt": _types,
}
"""Ending of a file → what reads it."""
