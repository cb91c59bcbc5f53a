"""What sealing tells Prometheus."""

from prometheus_client import Counter, Gauge

WAITING_RUNS = Gauge("runstream_metrics_seal_waiting_runs", "Runs that have ended and are not sealed yet.")
SEALED_RUNS = Counter("runstream_metrics_sealed_runs_total", "Runs that were sealed.")
SEALED_BYTES = Counter("runstream_metrics_sealed_bytes_total", "Bytes of the objects of sealed runs.")
SEALING_SECONDS = Counter("runstream_metrics_sealing_seconds_total", "How long sealing took, pauses included.")
FAILED_SEALS = Counter("runstream_metrics_failed_seals_total", "Times that sealing a run failed.", ["reason"])
REMOVED_OBJECTS = Counter("runstream_metrics_removed_objects_total", "Objects that were replaced or given up.")
