"""``plan verify``: a plan made, loaded and run by a real engine, held against its predictions."""
