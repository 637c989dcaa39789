"""The ports of the core made real. Adapters translate foreign exceptions; none knows another."""
