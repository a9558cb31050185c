"""Schema of the database: one revision a file, plain SQL, up and down."""
