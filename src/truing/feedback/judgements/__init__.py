"""What judgements come to: snapshots, rounds, files in and out, agreement."""
