"""What the judges in engines' environments share: cases in, verdicts out, a process a device.

Runs in an engine's environment and imports nothing of the planner.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

Device = dict[str, Any]
MOST_CHARACTERS = 600


def judged(case: Device, computed: Callable[[list[str], Device], Any]) -> dict[str, Any]:
    """One case: what the engine ``computed`` from its words, or its error."""
    verdict: dict[str, Any] = {"id": case["id"]}
    kept, said = dict(os.environ), io.StringIO()
    try:
        words = list(case["words"])
        if words[0] == "env":
            words = words[1:]
            while "=" in words[0]:
                name, _, value = words.pop(0).partition("=")
                os.environ[name] = value
        with contextlib.redirect_stderr(said):
            verdict["computed"] = computed(words, case)
    except (Exception, SystemExit) as error:
        last = said.getvalue().strip().splitlines()[-1:] if isinstance(error, SystemExit) else []
        text = last[0] if last else f"{type(error).__name__}: {error}"
        verdict["error"] = text[:MOST_CHARACTERS]
        verdict["trace"] = traceback.format_exc()[-2500:]
    os.environ.clear()
    os.environ |= kept
    return verdict


def main(
    packages: tuple[str, ...],
    group: Callable[[Device], object],
    stand_in: Callable[[Device], None],
    of_device: Callable[[Device], None],
    computed: Callable[[list[str], Device], Any],
    common: tuple[str, ...] = (),
) -> None:
    """Judge the cases of a file; modules in ``common`` know no device and are imported once.

    Cases of one ``group`` have a process: ``stand_in`` is called in it once, ``of_device`` before
    each case. ``SCRIPT CASES.json VERDICTS.json``: a line of JSON a verdict, after one with the
    version.
    """
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)
    for name in common:
        importlib.import_module(name)
    installed = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
    version = next(installed[name] for name in packages if name in installed)
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write(json.dumps({"version": version}) + "\n")
    for key in dict.fromkeys(map(group, cases)):
        own = [case for case in cases if group(case) == key]
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            continue
        try:
            stand_in(own[0])
            with open(sys.argv[2], "a", encoding="utf-8") as out:
                for case in own:
                    of_device(case)
                    out.write(json.dumps(judged(case, computed), default=str) + "\n")
                    out.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
