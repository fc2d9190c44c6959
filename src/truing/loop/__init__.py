"""What joins the stages: a store's judgements into training."""
