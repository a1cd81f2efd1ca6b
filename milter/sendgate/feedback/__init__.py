"""What Postfix, the receivers and their users answer, turned into true list entries."""
