"""The rules of workspaces, experiments and runs."""
