"""What the tests are run with, as a bill of materials, with its licences and known weaknesses.

    make supply              # LOCKED=1: what is installed has to be what .ci/lock names

Writes out/sbom.cdx.json (CycloneDX, by cyclonedx-bom) of the environment that `make test` made from
the lock, checks that it is what the lock names, checks every licence against .ci/licences.toml, and
asks pip-audit's data base, which is said to be skipped where none can be reached.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SBOM = ROOT / "out" / "sbom.cdx.json"
OWN = "precision-planner"
BESIDE = {OWN, "pip", "setuptools", "wheel"}
"""In an environment without being in a lock."""
Components = Sequence[Mapping[str, Any]]


def canonical(name: str) -> str:
    """A package's name as all spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> dict[str, str]:
    """{package: version} that a lock names for this system."""
    return {
        canonical(name): version
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    }


def differing(components: Components, wanted: Mapping[str, str]) -> list[str]:
    """What is installed in another version than the lock has, or without being in it."""
    found = []
    for one in components:
        name = canonical(one["name"])
        if name not in BESIDE and wanted.get(name) != one.get("version"):
            found.append(f"{name} {one.get('version')}, the lock has {wanted.get(name, 'none')}")
    return found


def licences_of(component: Mapping[str, Any]) -> list[str]:
    """Licences that the metadata name, alternatives and parts apart."""
    named = [
        entry.get("expression") or entry["license"].get("id") or entry["license"]["name"]
        for entry in component.get("licenses", ())
    ]
    words = [re.sub(r"^License :: (OSI Approved :: )?", "", name) for name in named]
    return (
        [part for name in words for part in re.split(r"\s+(?:AND|OR)\s+|\s*[()]\s*", name) if part]
        if all(len(name) < 100 for name in words)
        else words
    )


def refused(components: Components, run_time: set[str], rules: Mapping[str, Any]) -> Iterator[str]:
    """Packages whose licence is not allowed where they are."""
    said = {canonical(name): licence for name, licence in rules["said"].items()}
    for one in components:
        name = canonical(one["name"])
        if name in BESIDE:
            continue
        allowed = {*rules["permissive"], *(() if name in run_time else rules["weak"])}
        found = [said[name]] if name in said else licences_of(one)
        wrong = [licence for licence in found or ["none named"] if licence not in allowed]
        if wrong:
            yield f"{name}: {', '.join(wrong)[:200]}" + (" (run time)" if name in run_time else "")


def needed(name: str, seen: set[str] | None = None) -> set[str]:
    """A package and all that it needs to run, without extras."""
    seen = set() if seen is None else seen
    for line in distribution(name).requires or ():
        requirement, _, marker = line.partition(";")
        other = canonical(re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0])
        if "extra" in marker or other in seen:
            continue
        try:
            distribution(other)
        except ModuleNotFoundError:
            continue  # for another system
        seen.add(other)
        needed(other, seen)
    return seen


def audit(tool: Path, lock: Path) -> tuple[str, bool]:
    """(what pip-audit says of the lock, whether it found a weakness)."""
    ran = subprocess.run(
        [
            str(tool),
            "--requirement",
            str(lock),
            "--disable-pip",
            "--no-deps",
            "--timeout",
            "10",
            "--progress-spinner",
            "off",
            "--format",
            "json",
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    try:
        packages = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (ran.stderr.strip().splitlines() or ["no answer"])[-1]
        return f"pip-audit: skipped, no data base can be reached ({last[:120]})", False
    known = [one for one in packages if "skip_reason" not in one]
    weak = [
        f"{one['name']} {one['version']}: {', '.join(v['id'] for v in one['vulns'])}"
        for one in known
        if one["vulns"]
    ]
    if not known:
        return (
            f"pip-audit: skipped, the data base here knows none of {len(packages)} packages",
            False,
        )
    told = [
        f"pip-audit: {len(known)} of {len(packages)} packages looked up, {len(weak)} with "
        "known weaknesses",
        *weak,
    ]
    return "\n  ".join(told), bool(weak)


def main() -> int:
    """Make the bill, check it, print what was found; 1 where something is wrong."""
    tools, strict = Path(sys.argv[1]), "--locked" in sys.argv
    lock = ROOT / ".ci" / "lock" / f"python{sys.version_info[0]}.{sys.version_info[1]}.txt"
    SBOM.parent.mkdir(exist_ok=True)
    subprocess.run(
        [
            str(tools / "cyclonedx-py"),
            "environment",
            sys.executable,
            "--pyproject",
            str(ROOT / "pyproject.toml"),
            "--output-reproducible",
            "-o",
            str(SBOM),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    components = json.loads(SBOM.read_text(encoding="utf-8"))["components"]
    print(f"supply: {len(components)} components in {SBOM.relative_to(ROOT)}")
    problems = []
    if lock.is_file():
        wanted = locked(lock.read_text(encoding="utf-8")) | locked(
            (ROOT / ".ci" / "lock" / "models.txt").read_text(encoding="utf-8")
        )
        others = differing(components, wanted)
        print(f"supply: {len(others)} of them are not as {lock.relative_to(ROOT)} has them")
        problems += others if strict else []
    else:
        print(f"supply: no lock for this Python; the bill is of what is installed ({lock.name})")
    rules = tomllib.loads((ROOT / ".ci" / "licences.toml").read_text(encoding="utf-8"))
    wrong = list(refused(components, needed(OWN), rules))
    print(
        f"supply: licences of {len(components) - len(wrong)} components are allowed, "
        f"{len(wrong)} are not"
    )
    if lock.is_file():
        told, weak = audit(tools / "pip-audit", lock)
        print(told)
        problems += ["known weaknesses"] if weak else []
    for problem in [*problems, *wrong]:
        print(f"supply: {problem}", file=sys.stderr)
    return 1 if problems or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
