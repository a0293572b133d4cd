"""Tools without a subject: errors, units, records, files as they come from outside."""
