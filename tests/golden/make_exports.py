"""Write the golden exports anew: python tests/golden/make_exports.py; then read the difference."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

if __name__ == "__main__":
    from support.exports import golden_exports

    for name, text in golden_exports().items():
        path = HERE / "exports" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
