"""Bit-exact emulation of number formats in numpy."""
