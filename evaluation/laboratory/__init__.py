"""Regret of freely asked plans on the pages of a laboratory that measured the choice."""
