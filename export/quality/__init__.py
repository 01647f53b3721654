"""What a history is like, told before a model is trained on it."""
