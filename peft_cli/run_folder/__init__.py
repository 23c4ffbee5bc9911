"""What one run leaves behind and starts from: result, checkpoint, lock, log, environment."""
