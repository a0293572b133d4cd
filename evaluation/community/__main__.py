"""``python -m evaluation.community DIR``: the median error of decode by llmfit's rule and by ours
on the rows of DIR/e2e_community.csv, by kind of machine and by device, and every row."""

from __future__ import annotations

import sys
from pathlib import Path

from evaluation.community.page import community_page
from evaluation.community.rows import both_rules, read_rows

if __name__ == "__main__":
    print(community_page(*both_rules(read_rows(Path(sys.argv[1])))))
