"""``plan engine``: which engines are on this machine, and what installs them."""
