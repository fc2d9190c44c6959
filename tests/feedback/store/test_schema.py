"""What the tables promise by themselves; that migrations build them is tested beside the database."""

from truing.feedback.store import schema


def test_every_link_has_an_index():
    """A foreign key without one makes every check of it read a whole table."""
    for table in schema.metadata.tables.values():
        indexed = {index.columns[0].name for index in table.indexes} | {table.primary_key.columns[0].name}
        for key in table.foreign_keys:
            assert key.parent.name in indexed, f"{table.name}.{key.parent.name}"


def test_the_tables_are_in_the_docs():
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "feedback.md").read_text(encoding="utf-8")
    for name in schema.metadata.tables:
        assert f"`{name}`" in page, name
