"""Between messages and the words of artifacts."""
