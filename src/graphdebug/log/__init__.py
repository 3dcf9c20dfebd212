"""The log: JSON lines on disk, written through structlog, read back as a store of events."""
