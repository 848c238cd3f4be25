"""Pictures by score, kept beside a running daemon for the next build."""
