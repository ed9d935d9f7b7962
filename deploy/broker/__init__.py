"""A real one-node Apache Kafka for demos and tests."""
