"""``planner.memory_use``: bytes of every device by part."""

from planner.planning.inspect.memory import memory_use as memory_use
