"""Runs on a cluster: measured parts, and a simulation of many workers."""
