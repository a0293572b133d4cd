"""``python -m evaluation.community DIR [--write]``: the median error of decode of both rules on the
rows of DIR/e2e_community.csv; ``--write`` makes docs/evidence/community.md."""

from __future__ import annotations

import sys
from pathlib import Path

from evaluation.community.page import community_page
from evaluation.community.rows import both_rules, read_rows
from evaluation.pages import publish, split

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "community.md"

if __name__ == "__main__":
    text = community_page(*both_rules(read_rows(Path(sys.argv[1]))))
    print(split(text)[0])
    if "--write" in sys.argv[2:]:
        publish(PAGE, text)
