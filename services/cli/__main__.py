"""`python -m services.cli`: the same as `termijn`."""

from services.cli import main

main()
