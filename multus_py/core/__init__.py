"""What Multus decides, over three ports (:mod:`multus_py.core.ports`) and without any I/O."""
