"""What a submitted run executes: settings as users write them, their files, and the definition of the job."""
