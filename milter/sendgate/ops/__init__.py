"""What operators and their machines ask a running Sendgate over HTTP."""
