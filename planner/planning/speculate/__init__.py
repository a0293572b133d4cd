"""Drafted tokens as a choice: what may draft, which engine verifies it, what it gains."""
