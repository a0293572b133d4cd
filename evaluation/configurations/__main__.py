"""``python -m evaluation.configurations FOLDER``: write docs/evidence/configurations.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluation.configurations.anew import written_anew
from evaluation.configurations.page import page
from evaluation.configurations.tried import configurations, tried
from evaluation.pages import publish

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "configurations.md"


def main() -> None:
    """Ask everything and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.configurations", description=__doc__
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-plans", action="store_true", help="search nothing; print only")
    asked = parser.parse_args()
    found = []
    for name, path in configurations(asked.folder):
        found.append(one := tried(name, path, plans=not asked.no_plans))
        print(name, ", ".join(one.answers) or "none", one.reason, flush=True)
    try:
        import transformers

        version = transformers.__version__
    except ImportError:
        version = ""
    anew = list(written_anew()) if version else []
    if asked.no_plans:
        print(*anew, sep="\n")
        return
    publish(PAGE, page(found, anew, version))


if __name__ == "__main__":
    main()
