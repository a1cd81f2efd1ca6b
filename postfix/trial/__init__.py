"""Private instances of everything around the gate, for the demo, the tests and the benches.

mta: a Postfix of our own. sink: where its mail ends. gate: a running Sendgate.
dialogue: SMTP conversations as text. demo: all of them together.
All of it listens on loopback only, lives in temporary folders, and ends with its context manager.
"""
