"""The CNI specification (1.1.0 and all versions before it). Knows no Multus and no Kubernetes."""
