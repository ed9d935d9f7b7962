"""`irstream predict`: networks in this process, annotated pictures, a Parquet."""
