"""Files to documents: text, rows, web pages; any address, any cutting."""
