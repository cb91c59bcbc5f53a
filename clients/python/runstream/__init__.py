"""Records machine-learning training runs while they happen."""
