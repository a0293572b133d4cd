"""What an answer says of the version of its engine: why it is that one, or what stands for it."""

from __future__ import annotations

from planner.memory.engines.catalog import Engine
from planner.memory.engines.versions import default_known
from planner.messages.message import Message, message


def version_notes(engine: Engine) -> tuple[Message, ...]:
    """Why the version is the default, or which known one an unknown version is taken as; nothing
    of a known one that is not the default."""
    known = default_known(engine.name)
    if not known.text:
        return (message("assumptions.builds_alike", source=known.source),)
    if engine.taken is not None:
        name = "version_older_than_known" if engine.taken.older_than_all else "version_not_known"
        return (message(f"assumptions.{name}", engine=engine.label, taken=engine.taken.known.text),)
    if engine.version == known.version:
        return (message("assumptions.newest_version_read"),)
    return ()
