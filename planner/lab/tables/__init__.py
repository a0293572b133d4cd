"""Tables that ship: errors of formats and accumulators, made by emulation on synthetic tensors."""
