"""Bytes to structure and back: JSON spans, event framing."""
