"""The agent: offers a machine to a compute target, and starts a runner for each job that it is given.

Runners do not depend on the agent. One that is killed loses nothing: the next one of its name on this machine finds its
runners again by `state.Ledger`, and goes on with what they hold.
"""
