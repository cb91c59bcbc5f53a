"""What the maintenance of metrics tells Prometheus."""

from prometheus_client import Counter

MERGED_CHUNKS = Counter("runstream_metrics_merged_chunks_total", "Small chunks that became part of a larger one.")
MERGING_SECONDS = Counter("runstream_metrics_merging_seconds_total", "How long merging chunks took.")
