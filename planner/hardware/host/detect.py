"""Look at this machine: its facts, and ``host`` as a profile."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

from planner.base.system import usable_cpus
from planner.hardware.host.described import HOST, described
from planner.hardware.host.facts import Draft, HostFacts
from planner.hardware.host.linux import linux_facts
from planner.hardware.host.mac import mac_facts
from planner.hardware.loader import parse_profile
from planner.hardware.profile import DeviceProfile

_SMI_SECONDS = 10.0
DETECTED_PATH = Path(f"{HOST}.toml")
"""Where the profile would stand: there is no file until ``plan measure`` writes one."""


@cache
def host_facts() -> HostFacts:
    """What this machine tells, asked once."""
    machine = platform.machine()
    if platform.system() == "Darwin":
        return mac_facts(machine)
    if platform.system() == "Linux":
        facts = linux_facts(machine, frozenset(usable_cpus()))
        return facts if facts.gpus else replace(facts, gpus=_smi())
    return HostFacts(
        system=platform.system() or "this system",
        machine=machine,
        vendor="",
        name=platform.processor(),
        family=None,
        model="",
        flags=frozenset(),
        cpus=os.cpu_count() or 1,
        cores=os.cpu_count() or 1,
        sockets=1,
        nodes=1,
        quota=None,
        virtual=False,
        clock_hz=None,
        boost_hz=None,
        cache_bytes=None,
        memory_bytes=None,
        memory_limit=None,
        memory_available=None,
        reasons={"system": "only Linux and macOS are asked"},
    )


def _smi() -> tuple[str, ...]:
    """GPUs that nvidia-smi names, where the driver's files are not to be seen (WSL)."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        done = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SMI_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return (
        tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
        if done.returncode == 0
        else ()
    )


def host_profile() -> DeviceProfile:
    """This machine, detected.

    Raises:
        UnsupportedError: the system does not tell enough.
    """
    return profile_of_draft(described(host_facts()))


def host_text(date: str) -> str:
    """The file that would describe this machine, as it is detected.

    Raises:
        UnsupportedError: the system does not tell enough.
    """
    return described(host_facts()).text(date)


def profile_of_draft(draft: Draft) -> DeviceProfile:
    """The record of a draft. Its digest is of what the machine is: not of the day on which it was
    asked, nor of the memory that was free."""
    text = draft.text(datetime.date.today().isoformat())
    profile = parse_profile(text.encode(), path=DETECTED_PATH)
    lasting = replace_passing(draft).text("")
    return replace(profile, sha256=hashlib.sha256(lasting.encode()).hexdigest())


def replace_passing(draft: Draft) -> Draft:
    """The draft without what passes."""
    return Draft(
        draft.texts,
        draft.memory_type,
        draft.figures,
        draft.cautions,
        [],
        draft.unsupported,
        draft.sources,
    )
