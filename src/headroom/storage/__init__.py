"""Files on the local disk that several packages keep their data in."""
