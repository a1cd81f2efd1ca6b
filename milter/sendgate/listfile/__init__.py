"""List files: reading and writing lists as txt, csv and jsonl. Knows nothing of stores."""
