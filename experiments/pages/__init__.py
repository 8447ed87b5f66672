"""Pages for people: figures, tables and sentences about a dataset or a comparison, as one HTML file and as Markdown."""
