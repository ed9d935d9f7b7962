"""Archives: what `irstream reprocess` and `irstream diff` are given, and how frames are found again."""
