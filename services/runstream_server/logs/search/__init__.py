"""Searches the text of logs for a pattern, line by line, within bounds of time and memory.

Invariants:
* A search takes time in proportion to the text, whatever the pattern is.
* Matches come in the order of files and lines. A cursor names a line: what follows was not told, what is before was.
* Memory is bounded: some MiB of text that was read ahead, one line of up to 16 MiB, and a message.
"""
