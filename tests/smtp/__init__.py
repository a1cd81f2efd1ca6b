"""SMTP dialogues against a real Postfix with the real gate in front of it."""
