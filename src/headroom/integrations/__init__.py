"""Headroom inside other packages; each an extra."""
