"""The documents against the program: what exists is documented, what is documented exists."""
