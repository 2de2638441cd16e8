"""The soak: mixed traffic while faults are injected, and at the end a comparison of what was acknowledged with what is there."""
