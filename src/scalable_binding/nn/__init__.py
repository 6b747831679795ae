"""Networks' parts that know no system."""
