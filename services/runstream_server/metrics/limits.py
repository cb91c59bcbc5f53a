"""The bounds of what is stored."""

MAX_BATCH_SERIES = 10_000
"""Columns of one batch."""

MAX_NAMES = 100_000
"""Metrics of one run. Writers on several servers that make metrics at the same moment may pass it by a batch each."""

MAX_VALUES = 1_000_000_000
"""Values of one series."""

MAX_NAME = 255
"""Characters of the name of a metric, or of a column of a table."""

MAX_DESCRIPTION = 5_000
"""Characters of a description."""

MAX_TEXT = 10_000
"""Characters of a text."""

MAX_COLUMNS = 250
"""Columns of a table: of the rows of one batch, and of the whole series."""

MAX_PATH = 1_024
"""Characters of the path of an artifact."""

MAX_REFUSED_METRICS = 100
"""Metrics of one run whose refused values are counted by name, for each reason."""
