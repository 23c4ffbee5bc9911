"""Several tasks, each with its own method, on one frozen backbone."""
