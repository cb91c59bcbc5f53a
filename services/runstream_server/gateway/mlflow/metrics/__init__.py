"""Values of metrics: written once, and read in the order of time."""
