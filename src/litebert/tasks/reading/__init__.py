"""The files people have to records: rows, columns, texts, documents."""
