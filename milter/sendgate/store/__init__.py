"""Lists at rest: the origin that is written, and the replica that the gate reads."""
