"""A real Kubernetes on this machine: etcd to kubelet, and nodes in namespaces of their own."""
