"""``planner.train``: the bytes of a training step."""

from planner.planning.inspect.training import train as train
