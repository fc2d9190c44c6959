"""A made-up world of questions and answers on which the whole pipeline runs in minutes."""
