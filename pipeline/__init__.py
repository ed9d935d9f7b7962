"""The stream, publishing, and what serves them."""
