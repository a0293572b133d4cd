"""``python -m evaluation.meta``: compare every family, cover every type, write the page."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

PAGE = Path("docs/evidence/models.md")
RECORD = Path("tests/models/meta_digests.json")


def main() -> int:
    """1 where a configuration that both understand has other tensors in each."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.meta", description=__doc__)
    parser.add_argument("--only", default="", help="types, with commas; nothing is written then")
    asked = parser.parse_args()
    only = frozenset(filter(None, asked.only.split(",")))
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    warnings.simplefilter("ignore")
    import torch
    import transformers

    from evaluation.meta.own import compare_own
    from evaluation.meta.page import page
    from evaluation.meta.types import covered

    transformers.logging.set_verbosity_error()
    own = []
    for kind, name, found in compare_own(torch, transformers, only):
        own.append((kind, name, found))
        print(kind, name, found.refused or found.unbuilt or "; ".join(found.differences)
              or found.cache_difference or f"{found.tensors:,} tensors alike", flush=True)
    types = list(covered(torch, transformers, only))
    for one in types:
        print(one.kind, one.state, one.reason)
    if not only:
        PAGE.write_text(page(own, types, f"transformers {transformers.__version__}, PyTorch "
                             f"{torch.__version__.partition('+')[0]}"), encoding="utf-8")
        RECORD.write_text(_recorded(own, transformers.__version__), encoding="utf-8")
    return int(any(one.differences for _, _, one in own))


def _recorded(own: list[tuple[str, str, object]], version: str) -> str:
    """Digests of the drawn configurations that both count alike, by type."""
    digests: dict[str, dict[str, str]] = {}
    for kind, name, one in own:
        if getattr(one, "alike", False):
            digests.setdefault(kind, {})[name] = getattr(one, "digest", "")
    return json.dumps({"transformers": version, "digests": digests}, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
