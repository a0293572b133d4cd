"""Calibrated forms of single operators: array functions of shapes, a chip and fitted parameters."""
