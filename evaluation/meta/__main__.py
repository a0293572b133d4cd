"""``python -m evaluation.meta``: compare every family, cover every type, write the page."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Container, Iterable
from functools import partial
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

from evaluation.meta.compare import Compared
from evaluation.pages import publish

if TYPE_CHECKING:
    from evaluation.meta.types import Covered

PAGE = Path("docs/evidence/models.md")
RECORD = Path("tests/models/meta_digests.json")
JOURNAL = Path(".meta-journal.jsonl")


def main() -> int:
    """1 where a configuration that both understand differs and no reason predicts it."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.meta", description=__doc__)
    parser.add_argument("--only", default="", help="types, with commas; nothing is written then")
    parser.add_argument(
        "--journal",
        type=Path,
        default=JOURNAL,
        metavar="FILE",
        help=f"what an interrupted run has found, from which the next goes on (default: {JOURNAL})",
    )
    asked = parser.parse_args()
    only = frozenset(filter(None, asked.only.split(",")))
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    warnings.simplefilter("ignore")
    import torch
    import transformers

    from evaluation.meta.journal import Journal, state
    from evaluation.meta.own import cases, compare_own
    from evaluation.meta.types import covered, generative

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    versions = (transformers.__version__, torch.__version__.partition("+")[0])
    journal = Journal(asked.journal, state(versions))
    own = []
    for kind, name, config in cases(transformers, only):
        found = journal.compared(
            f"{kind} {name}", partial(compare_own, kind, name, config, torch, transformers)
        )
        own.append((kind, name, found))
        print(kind, name, said(found), flush=True)
    types = [
        journal.covered(kind, partial(covered, kind, torch, transformers))
        for kind in generative()
        if not only or kind in only
    ]
    for one in types:
        print(one.kind, one.state, one.reason)
    if not only:
        write(own, types, versions, transformers)
    unexplained = sum(one.unexplained for _, _, one in own)
    print(
        f"{len(own)} configurations, {len(types)} types, {unexplained} unexplained; "
        f"{journal.resumed} of an earlier run; CPU {process_time():.0f} s"
    )
    journal.close()
    return int(unexplained > 0)


def said(found: Compared) -> str:
    """A line on one comparison."""
    if found.refused or found.unbuilt:
        return found.refused or found.unbuilt
    why = () if found.why is None else found.why.reasons
    cache = found.cache_why or found.cache_difference
    return (
        "; ".join(filter(None, (*(why or found.differences), cache)))
        or f"{found.tensors:,} tensors alike"
    )


def write(
    own: list[tuple[str, str, Compared]],
    types: list[Covered],
    versions: tuple[str, str],
    transformers: Any,
) -> None:
    """The page, and the record that tests read where transformers is not installed."""
    from evaluation.meta.own import defaults, releases
    from evaluation.meta.page import page

    publish(PAGE, page(own, types, "transformers {}, PyTorch {}".format(*versions)))
    known = {str(config["model_type"]) for config in releases().values()}
    RECORD.write_text(recorded(own, defaults(transformers), known, versions[0]), encoding="utf-8")


def recorded(
    own: Iterable[tuple[str, str, Compared]],
    stated: dict[str, dict[str, Any]],
    known: Container[str],
    version: str,
) -> str:
    """Digests of the drawn configurations that both count alike, by type, and what they are drawn
    from where that is no release: ``stated``, of the types that are not ``known``."""
    digests: dict[str, dict[str, str]] = {}
    for kind, name, one in own:
        if one.alike and name.isdigit():
            digests.setdefault(kind, {})[name] = one.digest
    needed = {kind: config for kind, config in stated.items()
              if kind in digests and kind not in known}  # fmt: skip
    return (
        json.dumps(
            {
                "transformers": version,
                "least_types": len(digests),
                "digests": digests,
                "references": needed,
            },
            separators=(",", ":"),
            sort_keys=True,
        )
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
