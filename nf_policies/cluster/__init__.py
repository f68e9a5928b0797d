"""Evolution on several processes and machines: pieces of a generation are played anywhere, with the bits of one."""
