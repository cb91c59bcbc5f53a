"""What the job service tells Prometheus."""

from prometheus_client import Counter, Gauge

QUEUED = Gauge("runstream_jobs_queued", "Jobs that wait for a runner, as last looked at.", ["kind"])
OPEN_AGENTS = Gauge("runstream_jobs_agent_streams", "Agents that are connected to this process.")
OFFERS = Counter("runstream_jobs_offers_total", "Offers of jobs to agents, and what became of them.", ["outcome"])
LOST = Counter("runstream_jobs_leases_lost_total", "Jobs whose runner was lost, and what became of them.", ["outcome"])
