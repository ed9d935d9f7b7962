"""Kafka: settings, connections, topics, readers, producers, group membership."""
