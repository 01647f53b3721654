"""What runs on a gateway at its first boot: Python's standard library alone, nothing installed."""
