"""Questions as people at home ask them, what the command answers, and whether the answer is what
published practice does there."""
