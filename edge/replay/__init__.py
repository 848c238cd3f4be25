"""The daemon's own path over a recording, in replay time."""
