"""`termijn`: the command line. Every failure is one clear line on stderr and a non-zero exit."""

from services.app.cli.main import main

__all__ = ["main"]
