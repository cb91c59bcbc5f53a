"""What a process tells about itself: structured logs and Prometheus metrics."""

from runstream_server.telemetry.logs import configure_logs, request_id
from runstream_server.telemetry.metrics import HttpMetrics, RpcMetrics, serving_metrics

__all__ = ["HttpMetrics", "RpcMetrics", "configure_logs", "request_id", "serving_metrics"]
