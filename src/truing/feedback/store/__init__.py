"""The store: its tables, and every statement that reads or writes them."""
