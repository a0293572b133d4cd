"""What was asked, with every default resolved."""
