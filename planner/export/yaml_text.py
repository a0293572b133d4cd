"""Plain data as YAML: keys in the order given, long texts as blocks, no anchors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

_WIDTH = 100


class _Dumper(yaml.SafeDumper):
    """Writes what is there, however often it is there."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Dumper.add_representer(str, _text)


def documents(data: Iterable[Any], head: str = "") -> str:
    """YAML of one or several documents; ``head`` are lines of comments."""
    body = yaml.dump_all(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        width=_WIDTH,
        allow_unicode=True,
        default_flow_style=False,
    )
    return "".join(f"# {line}\n" for line in head.splitlines()) + str(body)
