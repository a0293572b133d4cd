"""Manifests against the schemas of Compose and Kubernetes, in their packages' environment.

    ENGINE/bin/python engine_schemas.py CASES.json VERDICTS.json

Imports nothing of the planner. A case is the text of one file with its target.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from typing import Any

import yaml

NATIVE = ("v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1")
"""Versions of Kubernetes' own objects; others are of extensions, whose schemas are not here."""


DEFAULT = re.compile(r"\$\{\w+:?-([^}]*)\}")
"""A variable with a default, as Compose writes it."""


def of_compose(text: str) -> tuple[int, int, str]:
    """(services, not judged, why it is refused) of a Compose project, its variables at their
    defaults, by a reader of the Compose Specification."""
    from compose_spec import PyCompose

    count = len(yaml.safe_load(text)["services"])
    try:
        PyCompose.from_yaml(DEFAULT.sub(r"\1", text).replace("$$", "$")).validate()
    except Exception as error:
        return count, 0, f"{type(error).__name__}: {error}"[:400]
    return count, 0, ""


def of_kubernetes(text: str) -> tuple[int, int, str]:
    """(objects, of them not judged, why the first is refused) of a file of manifests."""
    import kubernetes_validate

    count = unjudged = 0
    for data in yaml.safe_load_all(text):
        count += 1
        if data.get("apiVersion") not in NATIVE:
            unjudged += 1
            continue
        try:
            kubernetes_validate.validate(data, kubernetes_validate.latest_version(), strict=True)
        except Exception as error:
            said = getattr(error, "message", None) or str(error)
            return count, unjudged, f"{data['kind']}: {type(error).__name__}: {said}"[:400]
    return count, unjudged, ""


def main() -> None:
    """Judge the files of a list of cases."""
    with open(sys.argv[1], encoding="utf-8") as file:
        cases: list[dict[str, Any]] = json.load(file)
    compose = f"compose-spec {importlib.metadata.version('compose-spec')}"
    kubernetes = f"kubernetes-validate {importlib.metadata.version('kubernetes-validate')}"
    out = []
    for case in cases:
        judge, of = (
            (compose, of_compose) if case["target"] == "compose" else (kubernetes, of_kubernetes)
        )
        objects, unjudged, refused = of(case["text"])
        out.append(
            {
                "id": case["id"],
                "target": case["target"],
                "judge": judge,
                "objects": objects,
                "unjudged": unjudged,
                "refused": refused,
            }
        )
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in out)


if __name__ == "__main__":
    main()
