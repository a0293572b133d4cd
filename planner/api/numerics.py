"""``planner.layer_error``: the error of one layer under each scheme."""

from planner.planning.inspect.layer_numerics import layer_error as layer_error
