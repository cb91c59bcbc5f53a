"""Jobs on Kubernetes: each attempt of a run becomes a `batch/v1` Job of the cluster.

What happens is written down first: an attempt is assigned to a place in Postgres, then its objects are made, under
names that follow from run and attempt. Whoever comes after a crash makes them again, which changes nothing. In each
place one process at a time looks after the Jobs; it compares what it reads with what ought to be, and never counts on
having seen an event.
"""
