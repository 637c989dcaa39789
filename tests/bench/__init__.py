"""What a pod costs, beside Multus in the same run: ``make bench``, ``docs/performance.md``."""
