"""Takes snapshots of source folders: what belongs to one, what of it is known already, and what was changed since."""
