"""The kernel side: the only code that touches libbpf, and the only code that needs root."""
