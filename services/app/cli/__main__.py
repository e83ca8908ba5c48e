"""`python -m services.app.cli`: the same as `termijn`."""

from services.app.cli import main

main()
