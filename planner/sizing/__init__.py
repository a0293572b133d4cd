"""Replicas for a rate of requests under a percentile service level: queues, and their check."""
