"""Configurations of others: class defaults of the library that reads them, and what is refused."""
