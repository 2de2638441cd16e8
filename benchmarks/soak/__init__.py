"""The soak: mixed traffic while faults are injected; at the end the rows are compared with what was acknowledged."""
