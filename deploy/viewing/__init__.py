"""The live page: a process of its own that reads Kafka and the results table, and slows nothing."""
