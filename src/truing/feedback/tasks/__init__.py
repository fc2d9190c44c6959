"""What people are asked, one module a kind of task; `kinds` is the table of them."""
