"""Decode of people's machines: the rule of llmfit beside ours, on the same measured rows."""
