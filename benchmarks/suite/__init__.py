"""What `any_task.py` is made of: the plan, the runs, their rows, and the page of what they show."""
