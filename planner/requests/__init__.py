"""Requests as they come: arrivals, lengths and shared prefixes, made or read from a trace."""
