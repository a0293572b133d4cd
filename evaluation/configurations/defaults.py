"""Writes ``planner/models/data/class_defaults.toml`` from the installed transformers:
``python -m evaluation.configurations.defaults [TYPE …]`` renews every section, and adds types."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from planner.models import defaults

FILE = Path(defaults.__file__).parent / "data" / "class_defaults.toml"
HEAD = """\
# What the configuration classes of transformers assume for keys that a file does not state, by
# model_type. [TYPE.nested] holds sizes: only a configuration inside a larger one leaves them out.
# Written by `python -m evaluation.configurations.defaults`; a test compares it with the installed
# transformers. A class default of null is no default: the family says what null means.
# Lines after "# by hand" are kept.
"""
BY_HAND = "# by hand"
# Sizes that files of one model alone leave out as well.
OUTSIDE = frozenset({"head_dim", "num_key_value_heads", "sliding_window"})
_READ = {"mlp_bias"}
"""Harmless where it is false, and read by the families that may have it."""
_TOKENS = re.compile(r"(_token_ids?|_token_index|_id)$")


def declared(model_type: str) -> dict[str, bool | int | str]:
    """The defaults that the class declares for keys on which tensors or caches may depend."""
    from transformers import CONFIG_MAPPING

    cls: Any = CONFIG_MAPPING[model_type]
    stated = {f.name: f.default for f in fields(cls) if f.default is not MISSING}
    if "tie_word_embeddings" not in stated:
        stated["tie_word_embeddings"] = bool(getattr(cls(), "tie_word_embeddings", False))
    harmless = defaults.harmless_keys(defaults.EVERY).keys() - _READ
    return {
        name: value for name, value in sorted(stated.items())
        if isinstance(value, bool | int | str) and not _TOKENS.search(name)
        and name not in harmless
    }  # fmt: skip


def outside(name: str, value: object) -> bool:
    """Whether a file of one model alone may leave ``name`` out."""
    return isinstance(value, bool | str) or name in OUTSIDE


def section(model_type: str, version: str, kept: str) -> Iterator[str]:
    """The lines of one type."""
    stated = declared(model_type)
    yield f"[{model_type}]"
    yield f'version = "transformers {version}"'
    yield from (_line(n, v) for n, v in stated.items() if outside(n, v))
    if kept:
        yield BY_HAND
        yield kept
    inner = [_line(n, v) for n, v in stated.items() if not outside(n, v)]
    if inner:
        yield ""
        yield f"[{model_type}.nested]"
        yield from inner


def _line(name: str, value: object) -> str:
    return f"{name} = {json.dumps(value)}"


def kept_lines(text: str, model_type: str) -> str:
    """What stands under ``# by hand`` in the section of a type."""
    own = text.partition(f"\n[{model_type}]\n")[2].partition("\n[")[0]
    return own.partition(BY_HAND + "\n")[2].strip("\n")


def known_types(text: str) -> list[str]:
    """The types that have a section."""
    return re.findall(r"^\[([A-Za-z0-9_-]+)\]$", text, re.MULTILINE)


def main(added: list[str]) -> None:
    """Write the file anew."""
    import transformers

    version = ".".join(transformers.__version__.split(".")[:2])
    text = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    parts = [
        "\n".join(section(name, version, kept_lines(text, name)))
        for name in sorted({*known_types(text), *added})
    ]
    FILE.write_text(HEAD + "\n" + "\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
