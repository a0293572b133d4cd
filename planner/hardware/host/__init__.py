"""The device ``host``: this machine as it tells of itself, until ``plan measure`` has measured it.

A file ``host.toml`` in ``--hardware-dir`` or PLAN_HARDWARE_PATH goes before what is detected here.
"""
