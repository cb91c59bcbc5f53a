"""The services of Runstream."""
