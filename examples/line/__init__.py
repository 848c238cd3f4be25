"""A simulated inspection line: pictures, captions and sensor readings that share the same known faults."""
