"""From Kafka to decoded blocks: epochs of Ray Data and the coordinator of their readers."""
