"""cachelab."""
