"""This machine's operators, timed: what ``plan measure`` runs. One kind of operator a file.

Everything that runs foreign code does so in a process of its own
(:mod:`planner.lab.measuring.worker`), which tells rows as it measures them: a library that crashes
or hangs costs its own rows alone.
"""
