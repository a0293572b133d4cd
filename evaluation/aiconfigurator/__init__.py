"""Answers beside aiconfigurator's: its best and ours, each priced by both."""
