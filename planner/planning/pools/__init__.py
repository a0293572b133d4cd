"""Prefill and decode workers in pools of their own, searched with formats for each."""
