"""``python -m evaluation.configurations.counted FOLDER …``: tensors and caches of every
configuration in the folders, and of every bundled one, beside what transformers builds of it."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evaluation.configurations.tried import configurations
from evaluation.meta.compare import Compared

EQUAL, EXPLAINED, DIFFERS, REFUSED, NOT_BUILT = (
    "equal", "equal but for a known reason", "differs", "refused", "not built by transformers",
)  # fmt: skip
ENDS = (EQUAL, EXPLAINED, DIFFERS, REFUSED, NOT_BUILT)


def outcome(found: Compared) -> str:
    """One of :data:`ENDS`."""
    if found.unbuilt:
        return NOT_BUILT
    if found.refused:
        return REFUSED
    if found.unexplained:
        return DIFFERS
    return EXPLAINED if found.differences or found.cache_difference else EQUAL


def tally(ends: Mapping[str, str]) -> str:
    """How many ended how, all of :data:`ENDS`."""
    counts = Counter(ends.values())
    return ", ".join(f"{counts[end]} {end}" for end in ENDS)


def stated(folders: Iterator[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and configuration of every file in the folders, as plain elements, and every bundled
    one."""
    from evaluation.meta.own import plain, releases

    for folder in folders:
        for name, path in configurations(folder):
            yield f"{folder.name}/{name}", plain(json.loads(path.read_bytes()))
    yield from releases().items()


def main(folders: list[str]) -> int:
    """1 where one differs and nothing explains it."""
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    warnings.simplefilter("ignore")
    import torch
    import transformers

    from evaluation.meta.compare import compared
    from evaluation.meta.own import answer_of

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    ends = {}
    for name, config in stated(map(Path, folders)):
        found = compared(config, answer_of(config, torch, transformers), name)
        ends[name] = outcome(found)
        why = found.unbuilt or found.refused or "; ".join(found.differences) or (
            found.cache_difference)  # fmt: skip
        print(name, ends[name], f"{found.tensors:,} tensors", why, flush=True)
    print(f"{len(ends)} configurations, transformers {transformers.__version__}: {tally(ends)}")
    return int(DIFFERS in ends.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
