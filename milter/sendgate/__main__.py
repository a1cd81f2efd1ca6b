"""`python -m sendgate`, the same program as the `sendgate` command."""

from sendgate.cli.main import main

main()
