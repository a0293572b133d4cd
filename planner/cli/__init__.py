"""The ``plan`` command. Only click is imported here; each command imports what it needs."""

try:
    from planner.cli.main import main
except KeyboardInterrupt:  # Ctrl-C while the command is being loaded
    raise SystemExit(130) from None

__all__ = ["main"]
