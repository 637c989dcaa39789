"""What users do and do wrong, on a cluster of two nodes."""
