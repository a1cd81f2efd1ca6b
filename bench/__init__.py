"""The measures of design and documentation as commands; see docs/performance.md.

In: nothing but the machine. Out: tables, and the figures as JSON. All of it runs on loopback, in temporary folders,
with processes of its own.
"""
