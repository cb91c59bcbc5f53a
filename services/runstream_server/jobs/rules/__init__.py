"""What the job service does."""
