"""Manifests that run a plan: compose, Kubernetes, llm-d and Dynamo."""
