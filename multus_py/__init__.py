"""multus-py: a CNI meta-plugin that attaches several networks to one pod."""
