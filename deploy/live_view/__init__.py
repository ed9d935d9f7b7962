"""What a running stream looks like to people."""
