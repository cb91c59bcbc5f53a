"""Executes one submitted run, the same way on every compute target.

    python -m runstream._runner --run workspaces/w/runs/r --address host:port

Two processes do that. The guard is small and only watches: when the runner is killed it ends all processes of the job
and starts another runner, which reports how the run ended. The runner claims the job, prepares its files and its
environment, starts its processes, and says how they ended. When the guard is killed the runner goes on without it.
"""
