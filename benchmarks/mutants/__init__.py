"""Mutation testing: one changed operator or number at a time, and the tests of its room."""
