"""One page on which a task and a policy move, without a network: physics and policy as JavaScript, and drawings."""
