"""Fitting operator forms to tables of measured operator times. Needs the ``[calibrate]`` extra."""
