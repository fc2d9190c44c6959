"""The page where people judge: FastAPI routes over the store."""
