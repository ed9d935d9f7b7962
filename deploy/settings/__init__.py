"""The settings tree, its file, its mistakes in words, its page in the documentation."""
