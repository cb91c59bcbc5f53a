"""Between messages and the words of jobs."""
