"""Write the golden manifests anew: python tests/golden/make_deployments.py; then read the
difference."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

if __name__ == "__main__":
    from support.deployments import golden_deployments

    for name, text in golden_deployments().items():
        path = HERE / "deployments" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
