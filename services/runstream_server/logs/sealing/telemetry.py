"""What sealing logs tells Prometheus."""

from prometheus_client import Counter, Gauge

WAITING_FILES = Gauge("runstream_logs_seal_waiting_files", "Log files with text that is to be sealed.")
SEALED_SEGMENTS = Counter("runstream_logs_sealed_segments_total", "Segments of log files that were sealed.")
SEALED_TEXT_BYTES = Counter("runstream_logs_sealed_text_bytes_total", "Bytes of log text that were sealed.")
SEALING_SECONDS = Counter("runstream_logs_sealing_seconds_total", "How long sealing logs took, pauses included.")
FAILED_SEALS = Counter("runstream_logs_failed_seals_total", "Times that sealing a log file failed.", ["reason"])
REMOVED_SEGMENTS = Counter("runstream_logs_removed_segments_total", "Segments that expired or were given up.")
