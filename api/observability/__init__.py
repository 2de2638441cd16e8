"""What operators see: the log and the metrics."""
