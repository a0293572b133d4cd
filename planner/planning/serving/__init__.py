"""Closed loops, pools and expert use."""
